"""kafka-python with TLS and logins. Usage: secure.py HOST:PORT PROTOCOL MECHANISM USER PASSWORD AUTHORITY"""

import sys

from kafka import KafkaConsumer, KafkaProducer

address, protocol, mechanism, user, password, authority = sys.argv[1:7]
settings = {"bootstrap_servers": address, "security_protocol": protocol, "api_version": (1, 0, 0)}
if mechanism:
    settings |= {"sasl_mechanism": mechanism, "sasl_plain_username": user, "sasl_plain_password": password}
if "SSL" in protocol:
    settings |= {"ssl_cafile": authority}

producer = KafkaProducer(**settings)
producer.send("records", b"hello").get(30)
producer.close(30)
consumer = KafkaConsumer("records", auto_offset_reset="earliest", consumer_timeout_ms=30_000, **settings)
print("read", next(consumer).value.decode())
consumer.close()
