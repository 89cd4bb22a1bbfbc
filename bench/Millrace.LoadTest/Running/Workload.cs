using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.LoadTest.Running;

/// <summary>The batches and requests that the scenarios send.</summary>
internal static class Workload
{
    /// <summary>The version of Produce that the scenarios speak.</summary>
    public const short ProduceVersion = 9;

    public static byte[] Batch(int recordCount, int recordByteCount, ProducerIdentity? producer = null, int baseSequence = -1, bool isTransactional = false)
    {
        var random = new Random(1);
        byte[] value = new byte[recordByteCount];
        random.NextBytes(value);
        var builder = new RecordBatchBuilder();
        for (int record = 0; record < recordCount; record++)
        {
            builder.Append(1_700_000_000_000, null, (ReadOnlyMemory<byte>?)value);
        }

        return builder.Build(producer ?? ProducerIdentity.None, baseSequence, isTransactional).ToArray();
    }

    public static ProduceRequest Produce(string topic, int partition, ReadOnlyMemory<byte> batch, short acks, string? transactionalId = null) => new()
    {
        TransactionalId = transactionalId,
        Acks = acks,
        TimeoutMilliseconds = 30_000,
        Topics = [new ProduceTopic { Name = topic, Partitions = [new ProducePartition { Index = partition, Records = batch }] }],
    };

    public static FetchRequest Fetch(string topic, int partition, long offset, int maxBytes) => new()
    {
        MaxWaitMilliseconds = 500,
        MinBytes = 1,
        MaxBytes = int.MaxValue,
        SessionEpoch = -1,
        Topics = [new FetchTopic { Name = topic, Partitions = [new FetchPartition { Index = partition, FetchOffset = offset, MaxBytes = maxBytes }] }],
    };

    public static void CreateTopic(WireConnection connection, string topic, int partitionCount)
    {
        var request = new CreateTopicsRequest
        {
            TimeoutMilliseconds = 120_000,
            Topics = [new CreatableTopic { Name = topic, PartitionCount = partitionCount, ReplicationFactor = 1 }],
        };
        CreateTopicsResponse response = connection.Send<CreateTopicsRequest, CreateTopicsResponse>(request, 5);
        Check(response.Topics[0].ErrorCode);
    }

    public static void DeleteTopic(WireConnection connection, string topic)
    {
        var request = new DeleteTopicsRequest { TopicNames = [topic], TimeoutMilliseconds = 120_000 };
        Check(connection.Send<DeleteTopicsRequest, DeleteTopicsResponse>(request, 5).Responses[0].ErrorCode);
    }

    public static long EndOffset(WireConnection connection, string topic, int partition)
    {
        const long latest = -1;
        var request = new ListOffsetsRequest { Topics = [new ListOffsetsTopic { Name = topic, Partitions = [new ListOffsetsPartition { Index = partition, Timestamp = latest }] }] };
        ListOffsetsPartitionResponse answer = connection.Send<ListOffsetsRequest, ListOffsetsResponse>(request, 1).Topics[0].Partitions[0];
        Check(answer.ErrorCode);
        return answer.Offset;
    }

    public static void Check(ErrorCode error)
    {
        if (error != ErrorCode.None)
        {
            throw new InvalidOperationException($"The broker answers {error}.");
        }
    }
}
