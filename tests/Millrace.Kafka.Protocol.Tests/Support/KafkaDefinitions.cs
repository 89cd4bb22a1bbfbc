using System.Buffers.Binary;
using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text;

namespace Millrace.Kafka.Protocol.Tests;

/// <summary>
/// The bytes that Kafka's own message definitions give (Golden/kafka-definitions.txt; Golden/generate.py says how), the names that our
/// fields have there, and the value that a field has there.
/// </summary>
public static class KafkaDefinitions
{
    private const string MillisecondsSuffix = "Milliseconds";

    /// <summary>Where our name is not Kafka's. Beyond these, "Milliseconds" stands for "Ms".</summary>
    private static readonly Dictionary<string, string> Names = new(StringComparer.Ordinal)
    {
        ["ProduceRequest.Topics"] = "TopicData",
        ["ProduceTopic.Partitions"] = "PartitionData",
        ["ProduceResponse.Topics"] = "Responses",
        ["ProduceResponse.ThrottleMilliseconds"] = "ThrottleTimeMs",
        ["ProduceTopicResponse.Partitions"] = "PartitionResponses",
        ["ProducePartitionResponse.LogAppendTime"] = "LogAppendTimeMs",
        ["ProduceRecordError.Message"] = "BatchIndexErrorMessage",
        ["FetchRequest.ForgottenTopics"] = "ForgottenTopicsData",
        ["FetchTopic.Name"] = "Topic",
        ["ForgottenTopic.Name"] = "Topic",
        ["FetchPartition.Index"] = "Partition",
        ["FetchPartition.MaxBytes"] = "PartitionMaxBytes",
        ["FetchResponse.Topics"] = "Responses",
        ["FetchTopicResponse.Name"] = "Topic",
        ["FetchPartitionResponse.Index"] = "PartitionIndex",
        ["ListOffsetsPartition.Index"] = "PartitionIndex",
        ["ListOffsetsPartition.MaxOffsetCount"] = "MaxNumOffsets",
        ["ListOffsetsPartitionResponse.Index"] = "PartitionIndex",
        ["MetadataPartition.Index"] = "PartitionIndex",
        ["MetadataPartition.Replicas"] = "ReplicaNodes",
        ["MetadataPartition.InSyncReplicas"] = "IsrNodes",
        ["OffsetCommitRequest.GenerationId"] = "GenerationIdOrMemberEpoch",
        ["OffsetCommitRequest.RetentionMilliseconds"] = "RetentionTimeMs",
        ["OffsetCommitPartition.Index"] = "PartitionIndex",
        ["OffsetCommitPartitionResponse.Index"] = "PartitionIndex",
        ["OffsetFetchTopic.Partitions"] = "PartitionIndexes",
        ["OffsetFetchPartitionResponse.Index"] = "PartitionIndex",
        ["ApiVersionsResponse.ZooKeeperMigrationReady"] = "ZkMigrationReady",
        ["ApiVersionRange.Key"] = "ApiKey",
        ["CreatableTopic.PartitionCount"] = "NumPartitions",
        ["CreatableTopicResult.PartitionCount"] = "NumPartitions",
        ["DeleteGroupsRequest.GroupIds"] = "GroupsNames",
        ["OffsetDeletePartition.Index"] = "PartitionIndex",
        ["OffsetDeletePartitionResponse.Index"] = "PartitionIndex",
        ["DeleteRecordsPartition.Index"] = "PartitionIndex",
        ["DeleteRecordsPartitionResult.Index"] = "PartitionIndex",
        ["OffsetForLeaderTopic.Name"] = "Topic",
        ["OffsetForLeaderPartition.Index"] = "Partition",
        ["OffsetForLeaderTopicResult.Name"] = "Topic",
        ["LeaderEpochEnd.Index"] = "Partition",
        ["DescribedPartition.Index"] = "PartitionIndex",
        ["DescribedPartition.Replicas"] = "ReplicaNodes",
        ["DescribedPartition.InSyncReplicas"] = "IsrNodes",
        ["DescribableLogDirTopic.Name"] = "Topic",
        ["DescribeLogDirsPartition.Index"] = "PartitionIndex",
        ["OngoingPartitionReassignment.Index"] = "PartitionIndex",
        ["ReassignablePartition.Index"] = "PartitionIndex",
        ["ReassignablePartitionResponse.Index"] = "PartitionIndex",
        ["AlterReplicaLogDirPartitionResult.Index"] = "PartitionIndex",
        ["ReplicaElectionResult.Partitions"] = "PartitionResult",
        ["PartitionElectionResult.Index"] = "PartitionId",
        ["AddPartitionsToTxnRequest.TransactionalId"] = "V3AndBelowTransactionalId",
        ["AddPartitionsToTxnRequest.ProducerId"] = "V3AndBelowProducerId",
        ["AddPartitionsToTxnRequest.ProducerEpoch"] = "V3AndBelowProducerEpoch",
        ["AddPartitionsToTxnRequest.Topics"] = "V3AndBelowTopics",
        ["AddPartitionsToTxnResponse.ResultsByTopic"] = "ResultsByTopicV3AndBelow",
        ["AddPartitionsToTxnPartitionResult.Index"] = "PartitionIndex",
        ["AddPartitionsToTxnPartitionResult.ErrorCode"] = "PartitionErrorCode",
        ["WritableTxnMarker.Committed"] = "TransactionResult",
        ["WritableTxnMarkerTopic.Partitions"] = "PartitionIndexes",
        ["WritableTxnMarkerPartitionResult.Index"] = "PartitionIndex",
        ["TxnOffsetCommitPartition.Index"] = "PartitionIndex",
        ["TxnOffsetCommitPartitionResponse.Index"] = "PartitionIndex",
        ["DescribeProducersTopic.Partitions"] = "PartitionIndexes",
        ["DescribeProducersPartitionResponse.Index"] = "PartitionIndex",
        ["DescribedTransaction.State"] = "TransactionState",
        ["ListedTransaction.State"] = "TransactionState",
        ["GroupMetadataMember.RebalanceTimeoutMilliseconds"] = "RebalanceTimeout",
        ["GroupMetadataMember.SessionTimeoutMilliseconds"] = "SessionTimeout",
    };

    public static IReadOnlyList<(string Label, string Message, short Version, byte[] Bytes)> Bytes { get; } =
    [
        .. Lines("filled", "nulls", "empty").Select(parts =>
            (parts[0], parts[1], short.Parse(parts[2], CultureInfo.InvariantCulture), Convert.FromHexString(parts[3].TrimStart('-')))),
    ];

    /// <summary>What stands before the body in a frame.</summary>
    public static IReadOnlyDictionary<(string Message, short Version), byte[]> Headers { get; } =
        Lines("header").ToDictionary(parts => (parts[1], short.Parse(parts[2], CultureInfo.InvariantCulture)), parts => Convert.FromHexString(parts[3]));

    public static IReadOnlyList<(string Message, string Path, string Value)> Defaults { get; } =
        [.. Lines("default").Select(parts => (parts[1], parts[2], parts[3]))];

    /// <summary>Every field of a message with Kafka's path of it and its value; lists give their elements.</summary>
    public static IEnumerable<(string Path, FieldInfo Field, object? Value)> Flatten(object message, string path = "")
    {
        foreach (FieldInfo field in message.GetType().GetFields(BindingFlags.Public | BindingFlags.Instance))
        {
            string fieldPath = path + KafkaName(field);
            object? value = field.GetValue(message);
            if (value is IMessage part)
            {
                foreach ((string Path, FieldInfo Field, object? Value) inner in Flatten(part, fieldPath + ".")) yield return inner;
                continue;
            }

            if (value is not IList items || value is byte[])
            {
                yield return (fieldPath, field, value);
                continue;
            }

            for (int index = 0; index < items.Count; index++)
            {
                if (items[index] is not IMessage element)
                {
                    yield return ($"{fieldPath}.{index}", field, items[index]);
                    continue;
                }

                foreach ((string Path, FieldInfo Field, object? Value) inner in Flatten(element, $"{fieldPath}.{index}.")) yield return inner;
            }
        }
    }

    /// <summary>The value that generate.py gives to the field of a path, or null for a type that it does not give one to.</summary>
    public static object? ExpectedValue(string path, object? actual)
    {
        uint seed = Fnv(path);
        byte[] content = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(content, seed);
        return actual switch
        {
            bool => true,
            sbyte => (sbyte)(seed & 0x7F | 1),
            short => (short)(seed & 0x7FFF | 1),
            int => (int)(seed & 0x7FFF_FFFF | 1),
            long => (long)((ulong)seed << 24 | 1),
            double => seed + 0.5,
            ErrorCode => (ErrorCode)(short)(seed & 0x7FFF | 1),
            ApiKey => (ApiKey)(short)(seed & 0x7FFF | 1),
            string => $"é{seed:x}",
            Guid => new Guid(UuidBytes(seed), bigEndian: true),
            byte[] => content,
            ReadOnlyMemory<byte> => content,
            _ => null,
        };
    }

    public static string KafkaName(FieldInfo field)
    {
        if (Names.TryGetValue($"{field.DeclaringType!.Name}.{field.Name}", out string? name)) return name;
        if (string.Equals(field.Name, "ThrottleMilliseconds", StringComparison.Ordinal)) return "ThrottleTimeMs";
        return field.Name.EndsWith(MillisecondsSuffix, StringComparison.Ordinal) ? field.Name[..^MillisecondsSuffix.Length] + "Ms" : field.Name;
    }

    private static byte[] UuidBytes(uint seed)
    {
        byte[] bytes = new byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, (UInt128)seed << 90 | (UInt128)seed << 30);
        return bytes;
    }

    private static uint Fnv(string path)
    {
        uint value = 0x811C9DC5;
        foreach (byte current in Encoding.UTF8.GetBytes(path)) value = (value ^ current) * 0x01000193;
        return value;
    }

    private static IEnumerable<string[]> Lines(params string[] labels) =>
        File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Golden", "kafka-definitions.txt"))
            .Select(line => line.Split(' '))
            .Where(parts => labels.Contains(parts[0], StringComparer.Ordinal));
}
