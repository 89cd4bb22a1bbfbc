#!/usr/bin/env python3
"""Writes kafka-definitions.txt: what Apache Kafka's own message definitions say, as bytes.

Usage: generate.py KAFKA_CHECKOUT > kafka-definitions.txt   (a checkout or a bare repository of apache/kafka)

The encoder below knows nothing of any message: it reads Kafka's JSON definitions and follows the rules of the protocol guide. So the bytes are
independent of the C# definitions. Every value follows from its path (fnv1a of names and indexes), so that two fields that trade places are seen.

Lines: "filled MESSAGE VERSION HEX" (- for no byte), every field set; "nulls MESSAGE VERSION HEX", the same with everything null that may be null; "empty MESSAGE
VERSION HEX", nothing set; "default MESSAGE PATH VALUE", what a field is where a version lacks it; "header MESSAGE VERSION HEX", what stands before the body in a
frame: of a request with correlation id 7 and client id "golden", of a response with correlation id 7.
"""
import json, re, struct, subprocess, sys, uuid

MESSAGES = [  # name, newest version, API key or None for data
    ("Produce", 13),
    ("Fetch", 17),
    ("ListOffsets", 11),
    ("Metadata", 13),
    ("OffsetCommit", 10),
    ("OffsetFetch", 10),
    ("FindCoordinator", 6),
    ("JoinGroup", 9),
    ("Heartbeat", 4),
    ("LeaveGroup", 5),
    ("SyncGroup", 5),
    ("ApiVersions", 4),
    ("CreateTopics", 7),
    ("InitProducerId", 5),
    ("DescribeGroups", 6),
    ("ListGroups", 5),
    ("DeleteTopics", 6),
    ("DeleteRecords", 2),
    ("OffsetForLeaderEpoch", 4),
    ("DescribeConfigs", 4),
    ("AlterConfigs", 2),
    ("DescribeLogDirs", 4),
    ("CreatePartitions", 3),
    ("DeleteGroups", 2),
    ("ElectLeaders", 2),
    ("IncrementalAlterConfigs", 1),
    ("AlterPartitionReassignments", 1),
    ("ListPartitionReassignments", 0),
    ("AlterReplicaLogDirs", 2),
    ("DescribeClientQuotas", 1),
    ("AlterClientQuotas", 1),
    ("DescribeUserScramCredentials", 0),
    ("AlterUserScramCredentials", 0),
    ("OffsetDelete", 0),
    ("DescribeCluster", 2),
    ("DescribeTopicPartitions", 0),
    ("AddPartitionsToTxn", 5),
    ("AddOffsetsToTxn", 4),
    ("EndTxn", 5),
    ("WriteTxnMarkers", 2),
    ("TxnOffsetCommit", 5),
    ("DescribeAcls", 3),
    ("CreateAcls", 3),
    ("DeleteAcls", 3),
    ("DescribeProducers", 0),
    ("DescribeTransactions", 0),
    ("ListTransactions", 2),
    ("SaslHandshake", 1),
    ("SaslAuthenticate", 2),
    ("ConsumerGroupHeartbeat", 1),
    ("ConsumerGroupDescribe", 1),
]
DATA = [("clients", "ConsumerProtocolSubscription", 3), ("clients", "ConsumerProtocolAssignment", 3),
        ("group-coordinator", "OffsetCommitKey", 1), ("group-coordinator", "OffsetCommitValue", 4),
        ("group-coordinator", "GroupMetadataKey", 2), ("group-coordinator", "GroupMetadataValue", 4),
        ("transaction-coordinator", "TransactionLogKey", 0), ("transaction-coordinator", "TransactionLogValue", 1)]


# What versions that are newer than the checkout add, from their KIPs: message, path to the structure, field, the name of the field before it.
PRODUCE_TOPIC_ID = {"name": "TopicId", "type": "uuid", "versions": "13+"}
TOPIC_ID = {"name": "TopicId", "type": "uuid", "versions": "10+"}
NEWER = {
    "MetadataResponse": [([], {"name": "ErrorCode", "type": "int16", "versions": "13+"}, "ClusterAuthorizedOperations")],  # KIP-1102
    "DescribeGroupsResponse": [(["Groups"], {"name": "ErrorMessage", "type": "string", "versions": "6+", "nullableVersions": "6+",
                                             "default": "null"}, "ErrorCode")],  # KIP-1043
    "DescribeClusterRequest": [([], {"name": "IncludeFencedBrokers", "type": "bool", "versions": "2+"}, "EndpointType")],  # KIP-1073
    "DescribeClusterResponse": [(["Brokers"], {"name": "IsFenced", "type": "bool", "versions": "2+"}, "Rack")],
    "AlterPartitionReassignmentsRequest": [([], {"name": "AllowReplicationFactorChange", "type": "bool", "versions": "1+", "default": "true"},
                                            "TimeoutMs")],  # KIP-860
    "AlterPartitionReassignmentsResponse": [([], {"name": "AllowReplicationFactorChange", "type": "bool", "versions": "1+", "default": "true"},
                                             "ThrottleTimeMs")],
    "ProduceRequest": [(["TopicData"], PRODUCE_TOPIC_ID, "Name")],  # topic ids, KIP-516
    "ProduceResponse": [(["Responses"], PRODUCE_TOPIC_ID, "Name")],
    "ListTransactionsRequest": [([], {"name": "TransactionalIdPattern", "type": "string", "versions": "2+", "nullableVersions": "2+",
                                      "default": "null"}, "DurationFilter")],  # KIP-1152
    "WriteTxnMarkersRequest": [(["Markers"], {"name": "TransactionVersion", "type": "int8", "versions": "2+"}, "CoordinatorEpoch")],  # KIP-1228
    "ConsumerGroupDescribeResponse": [(["Groups", "Members"], {"name": "MemberType", "type": "int8", "versions": "1+", "default": "-1"},
                                       "TargetAssignment")],  # KIP-1099
    "OffsetCommitRequest": [(["Topics"], TOPIC_ID, "Name")],  # topic ids, KIP-848
    "OffsetCommitResponse": [(["Topics"], TOPIC_ID, "Name")],
    "OffsetFetchRequest": [(["Groups", "Topics"], TOPIC_ID, "Name")],
    "OffsetFetchResponse": [(["Groups", "Topics"], TOPIC_ID, "Name")]}
NEWEST = {"Metadata": 13, "DescribeGroups": 6, "DescribeCluster": 2, "OffsetCommit": 10, "OffsetFetch": 10, "Produce": 13, "ListOffsets": 11,
          "TxnOffsetCommit": 5, "WriteTxnMarkers": 2, "ListTransactions": 2, "AlterPartitionReassignments": 1, "ConsumerGroupDescribe": 1}


def amend(name, definition):
    for path, field, before in NEWER.get(name, []):
        fields = definition["fields"]
        for step in path:
            fields = next(f for f in fields if f["name"] == step)["fields"]
        if any(f["name"] == field["name"] for f in fields):
            continue  # the checkout has it
        place = next(index for index, f in enumerate(fields) if f["name"] == before)
        fields.insert(place + 1, field)
        if field["name"] == "TopicId":
            fields[place]["versions"] = fields[place]["versions"].replace("+", f"-{int(field['versions'][:-1]) - 1}")
    api = re.sub("Request$|Response$", "", name)
    if api in NEWEST:
        definition["validVersions"] = f"{definition['validVersions'].split('-')[0]}-{NEWEST[api]}"
    return definition


def load(checkout, module, name):
    path = f"{module}/src/main/resources/common/message/{name}.json"
    text = subprocess.run(["git", "-C", checkout, "show", f"HEAD:{path}"], check=True, capture_output=True, text=True).stdout
    return amend(name, json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M)))


def inside(version, versions):
    if versions in (None, "none"):
        return False
    low, _, high = versions.partition("-")
    if versions.endswith("+"):
        return version >= int(versions[:-1])
    return int(low) <= version <= int(high or low)


def fnv(path):
    value = 0x811C9DC5
    for byte in path.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


class Encoder:
    def __init__(self, definition, version, label):
        self.version, self.filled, self.nulls = version, label != "empty", label != "filled"
        self.flexible = inside(version, definition["flexibleVersions"])
        self.structs = {s["name"]: s["fields"] for s in definition.get("commonStructs", [])}
        self.fields = definition["fields"]

    def message(self):
        return self.struct(self.fields, "")

    def struct(self, fields, path):
        body, tags = b"", []
        for field in fields:
            if not inside(self.version, field.get("versions", field.get("taggedVersions"))):
                continue
            name = f"{path}{field['name'][0].upper()}{field['name'][1:]}"
            if inside(self.version, field.get("taggedVersions")):
                if self.filled and not self.nulls:
                    tags.append((field["tag"], self.value(field, name)))
            else:
                body += self.value(field, name)
        if self.flexible:
            body += varint(len(tags))
            for tag, content in sorted(tags):
                body += varint(tag) + varint(len(content)) + content
        return body

    def value(self, field, path):
        kind = field["type"]
        nullable = inside(self.version, field.get("nullableVersions"))
        if kind.startswith("[]"):
            if nullable and self.nulls or not self.filled:
                return self.count(None if nullable else 0)
            element = dict(field, type=kind[2:], nullableVersions=None)
            return self.count(2) + b"".join(self.value(element, f"{path}.{index}") for index in range(2))
        seed = fnv(path)
        numbers = {"int8": (">b", seed & 0x7F | 1), "int16": (">h", seed & 0x7FFF | 1), "int32": (">i", seed & 0x7FFFFFFF | 1),
                   "int64": (">q", (seed << 24) | 1), "bool": (">?", True), "float64": (">d", seed + 0.5)}
        if kind in numbers:
            layout, number = numbers[kind]
            return struct.pack(layout, number if self.filled else 0)
        if kind == "uuid":
            return uuid.UUID(int=(seed << 90 | seed << 30) if self.filled else 0).bytes
        if kind in ("string", "bytes", "records"):
            if nullable and self.nulls or not self.filled:
                return self.length(None if nullable else 0, kind)
            # A letter of two bytes tells characters from bytes.
            content = f"\u00e9{seed:x}".encode() if kind == "string" else struct.pack(">I", seed)
            return self.length(len(content), kind) + content
        fields = field.get("fields") or self.structs[kind]
        if field.get("nullableVersions") and not kind.startswith("[]"):
            return b"\xff" if self.nulls or not self.filled else b"\x01" + self.struct(fields, path + ".")
        return self.struct(fields, path + ".")

    def count(self, count):
        return varint(0 if count is None else count + 1) if self.flexible else struct.pack(">i", -1 if count is None else count)

    def length(self, length, kind):
        if self.flexible or kind != "string":
            return self.count(length)
        return struct.pack(">h", -1 if length is None else length)


def header(definition, name, version):
    """Request headers 1 and 2 (flexible: with tagged fields), response headers 0 and 1; the answer to ApiVersions always has 0 (KIP-511)."""
    flexible = inside(version, definition["flexibleVersions"])
    if name.endswith("Request"):
        return struct.pack(">hhih", definition["apiKey"], version, 7, 6) + b"golden" + (b"\0" if flexible else b"")
    return struct.pack(">i", 7) + (b"\0" if flexible and name != "ApiVersionsResponse" else b"")


def defaults(fields, structs, path):
    for field in fields:
        name = f"{path}{field['name'][0].upper()}{field['name'][1:]}"
        kind = field["type"]
        nested = field.get("fields") or structs.get(kind.removeprefix("[]"))
        if nested:
            yield from defaults(nested, structs, name + ".")
        elif not kind.startswith("[]") and kind not in ("uuid", "bytes", "records"):
            blank = {"bool": "false", "string": ""}.get(kind, "0")
            value = str(field.get("default", blank))
            value = value.lower() if kind == "bool" else value
            yield name, str(int(value, 16)) if value.startswith("0x") else f'"{value}"' if kind == "string" and value != "null" else value


def main(checkout):
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    print(f"# Generated by generate.py from the message definitions of apache/kafka at {commit}.")
    sources = [(f"{name}{side}", load(checkout, "clients", f"{name}{side}"), range(newest + 1))
               for name, newest in MESSAGES for side in ("Request", "Response")]
    sources += [(name, load(checkout, module, name), range(newest + 1)) for module, name, newest in DATA]
    for name, definition, versions in sources:
        for version in versions:
            if not inside(version, definition["validVersions"]):
                continue
            for label in ("filled", "nulls", "empty"):
                print(label, name, version, Encoder(definition, version, label).message().hex() or "-")
            if "apiKey" in definition:
                print("header", name, version, header(definition, name, version).hex())
        structs = {s["name"]: s["fields"] for s in definition.get("commonStructs", [])}
        for path, value in defaults(definition["fields"], structs, ""):
            print("default", name, path, value)


main(sys.argv[1])
