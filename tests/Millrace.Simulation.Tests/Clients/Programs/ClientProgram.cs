using System.Globalization;
using System.Text;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>An application that uses the client. It goes on until the simulation ends, and begins again in another process when its own is killed.</summary>
internal abstract class ClientProgram(ClientSimulation world, string name)
{
    public string Name => name;

    /// <summary>The latest one.</summary>
    public SimulatedProcess Process { get; set; } = null!;

    public bool IsDone { get; set; }

    public abstract bool Writes { get; }

    protected ClientSimulation World => world;

    public abstract Task RunAsync(SimulatedProcess process);

    protected static byte[] ValueOf(int id) => Encoding.ASCII.GetBytes(id.ToString(CultureInfo.InvariantCulture));

    protected static int IdOf(ConsumerRecord record) => int.Parse(Encoding.ASCII.GetString(record.Value!.Value.Span), CultureInfo.InvariantCulture);

    protected ProducerOptions NewProducerOptions(string? transactionalId = null) => new()
    {
        Linger = TimeSpan.FromMilliseconds(world.Pick(0, 5, 50)),
        BatchByteCount = world.Pick(0, 150, 16_384),
        BufferByteCount = 4096,
        MaxRequestByteCount = 2048,
        MaxInFlightRequests = 1 + world.Next(5),
        DeliveryTimeout = TimeSpan.FromSeconds(world.Pick(5, 15, 60)),
        MaxBlock = TimeSpan.FromSeconds(world.Pick(5, 20)),
        Compression = world.Pick(CompressionCodec.None, CompressionCodec.None, CompressionCodec.Gzip),
        TransactionalId = transactionalId,
        TransactionTimeout = TimeSpan.FromSeconds(world.Pick(5, 12, 30)),
        CloseTimeout = TimeSpan.FromSeconds(world.Pick(1, 20)),
    };

    protected ConsumerOptions NewConsumerOptions(string? groupId, bool isCommitted, bool isCooperative = false) => new()
    {
        GroupId = groupId,
        AutoOffsetReset = AutoOffsetReset.Earliest,
        IsolationLevel = isCommitted ? IsolationLevel.ReadCommitted : IsolationLevel.ReadUncommitted,
        SessionTimeout = TimeSpan.FromSeconds(6 + world.Next(6)),
        HeartbeatInterval = TimeSpan.FromSeconds(1 + world.Next(2)),
        RebalanceTimeout = TimeSpan.FromSeconds(world.Pick(4, 15)),
        FetchMaxWait = TimeSpan.FromMilliseconds(world.Pick(300, 500, 2000)),
        PartitionFetchMaxByteCount = world.Pick(1, 400, 1_000_000),
        PrefetchByteCount = world.Pick(1, 1000, 1_000_000),
        CloseTimeout = TimeSpan.FromSeconds(world.Pick(1, 10)),
        Assignors = isCooperative ? [PartitionAssignor.CooperativeSticky] : [PartitionAssignor.Range, PartitionAssignor.RoundRobin],
    };

    protected static async Task<RecordMetadata> ProduceAsync(KafkaProducer producer, TopicPartition partition, int id) =>
        await producer.ProduceAsync(new ProducerRecord { Topic = partition.Topic, Partition = partition.Partition, Value = ValueOf(id) });

    /// <summary>Records, or none after so long.</summary>
    protected async Task<IReadOnlyList<ConsumerRecord>> PollAsync(KafkaConsumer consumer, int maxMilliseconds)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromMilliseconds(maxMilliseconds), world.Clock);
        try
        {
            return await consumer.PollAsync(1 + world.Next(10), timeout.Token);
        }
        catch (OperationCanceledException)
        {
            return [];
        }
    }

    /// <summary>Whether the group has committed everything that there is.</summary>
    protected static async Task<bool> IsAllDoneAsync(KafkaConsumer consumer, IReadOnlyList<TopicPartition> partitions)
    {
        try
        {
            IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> committed = await consumer.CommittedAsync(partitions);
            IReadOnlyDictionary<TopicPartition, Offset> ends = await consumer.EndOffsetsAsync(partitions);
            return partitions.All(partition => (committed.GetValueOrDefault(partition)?.Offset ?? Offset.Zero) == ends[partition]);
        }
        catch (KafkaException)
        {
            return false;
        }
    }

    protected void Note(FormattableString what) => world.Trace?.Add($"{name}: {what}");
}
