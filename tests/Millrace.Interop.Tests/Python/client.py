"""kafka-python against the broker: a client in Python alone, whose requests are of the versions that brokers of its choice have.

Usage: client.py HOST:PORT VERSION      VERSION is what it takes the broker for (1.0.0), or auto: it asks.
"""

import sys
from itertools import islice

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

TOPIC = "records"
GROUP = "readers"
COUNT = 300
FIRST_TIMESTAMP = 1_000_000

address, version = sys.argv[1:3]
settings = {"bootstrap_servers": address}
if version != "auto":
    settings["api_version"] = tuple(int(part) for part in version.split("."))


def expect(actual, expected, what):
    if actual != expected:
        sys.exit(f"{what}: {actual!r} is not {expected!r}")


def produce():
    for acks, compression in [("all", None), (1, "gzip"), (0, None)]:
        producer = KafkaProducer(acks=acks, compression_type=compression, linger_ms=1, **settings)
        sent = [
            producer.send(TOPIC, key=b"k%d" % number, value=b"%s %d" % (str(acks).encode(), number), headers=[("number", b"%d" % number)],
                          partition=number % 2, timestamp_ms=FIRST_TIMESTAMP + number)
            for number in range(COUNT // 3)
        ]
        producer.flush(30)
        if acks != 0:
            offsets = [future.get(30).offset for future in sent]
            expect(offsets[::2], list(range(offsets[0], offsets[0] + len(offsets[::2]))), f"offsets with acks={acks}")
        producer.close(30)


def consumer(**options):
    return KafkaConsumer(group_id=GROUP, auto_offset_reset="earliest", enable_auto_commit=False, consumer_timeout_ms=30_000, **{**settings, **options})


def consume():
    reader = consumer()
    reader.subscribe([TOPIC])
    records = list(islice(reader, COUNT))
    values = {partition: [record.value for record in records if record.partition == partition] for partition in (0, 1)}
    for partition in (0, 1):
        wanted = [b"%s %d" % (acks, number) for acks in (b"all", b"1", b"0") for number in range(partition, COUNT // 3, 2)]
        expect(values[partition], wanted, f"values of partition {partition}")
    for record in records:
        number = record.value.split()[1]
        expect((record.key, record.headers, record.timestamp), (b"k" + number, [("number", number)], FIRST_TIMESTAMP + int(number)), "a record")
    reader.commit({TopicPartition(TOPIC, 0): OffsetAndMetadata(7, "seen"), TopicPartition(TOPIC, 1): OffsetAndMetadata(COUNT // 2, "")})
    reader.close()


def go_on():
    reader = consumer()
    first = TopicPartition(TOPIC, 0)
    reader.subscribe([TOPIC])
    expect(next(reader).offset, 7, "where the group goes on")
    expect(reader.committed(first), 7, "the committed offset")
    expect(reader.beginning_offsets([first]), {first: 0}, "the beginning")
    expect(reader.end_offsets([first]), {first: COUNT // 2}, "the end")
    found = reader.offsets_for_times({first: FIRST_TIMESTAMP + 11})[first]
    expect((found.offset, found.timestamp), (6, FIRST_TIMESTAMP + 12), "the first record of a time")
    reader.close()


def administer(admin):
    expect(admin.list_consumer_groups(), [(GROUP, "consumer")], "the groups")
    [group] = admin.describe_consumer_groups([GROUP])
    expect((group.error_code, group.state), (0, "Empty"), "the group")
    expect(admin.list_consumer_group_offsets(GROUP)[TopicPartition(TOPIC, 0)], OffsetAndMetadata(7, "seen"), "what the group has committed")
    topic = ConfigResource(ConfigResourceType.TOPIC, TOPIC, {"retention.ms": "86400000"})
    admin.alter_configs([topic])
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC)])[0].resources[0][4]
    expect([entry[1] for entry in described if entry[0] == "retention.ms"], ["86400000"], "the setting")
    admin.create_partitions({TOPIC: NewPartitions(3)})
    expect(len(admin.describe_topics([TOPIC])[0]["partitions"]), 3, "the partitions")
    expect(admin.delete_consumer_groups([GROUP]), [(GROUP, NoError)], "the deletion of the group")
    admin.delete_topics([TOPIC])
    try:
        admin.delete_topics([TOPIC])
        sys.exit("a topic was deleted twice")
    except UnknownTopicOrPartitionError:
        admin.close()


def main():
    admin = KafkaAdminClient(**settings)
    admin.create_topics([NewTopic(TOPIC, 2, 1, topic_configs={"retention.ms": "-1"})])
    try:
        admin.create_topics([NewTopic(TOPIC, 2, 1)])
        sys.exit("a topic was created twice")
    except TopicAlreadyExistsError:
        produce()
    consume()
    go_on()
    administer(admin)


main()
