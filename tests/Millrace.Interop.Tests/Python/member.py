"""A member of a consumer group on kafka-python, which tells what it reads until it is ended.

Usage: member.py HOST:PORT GROUP TOPIC STRATEGY      STRATEGY is range or roundrobin.
"""

import sys

from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

STRATEGIES = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}

address, group, topic, strategy = sys.argv[1:5]
consumer = KafkaConsumer(
    topic, bootstrap_servers=address, group_id=group, auto_offset_reset="earliest", auto_commit_interval_ms=100, session_timeout_ms=6000,
    heartbeat_interval_ms=300, partition_assignment_strategy=[STRATEGIES[strategy]], client_id="foreign",
)
while True:
    for partition, records in consumer.poll(timeout_ms=200).items():
        for record in records:
            print(f"saw {partition.partition}:{record.offset}", flush=True)
