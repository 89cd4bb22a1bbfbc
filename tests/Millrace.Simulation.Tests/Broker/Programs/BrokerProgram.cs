using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>A client of the broker, which goes on until the simulation ends.</summary>
internal abstract class BrokerProgram(BrokerSimulation world)
{
    private readonly SimulatedLink?[] _links = new SimulatedLink?[2];

    protected BrokerSimulation World => world;

    public abstract Task RunAsync();

    /// <summary>One of the program's connections.</summary>
    protected async Task<SimulatedLink> LinkAsync(int number = 0)
    {
        if (_links[number] is not { IsLost: false } link)
        {
            link = await world.ConnectAsync();
            _links[number] = link;
        }

        return link;
    }

    protected ModelRecord[] NewRecords(TopicPartition partition, bool isForDisk, ModelTransaction? transaction = null) =>
        [.. Enumerable.Range(0, 1 + world.Next(3)).Select(_ => world.Model.NewRecord(partition, isForDisk, transaction))];

    protected byte[] Build(ModelRecord[] records, ProducerIdentity producer, int sequence, bool isTransactional = false)
    {
        var builder = new RecordBatchBuilder(world.Pick(CompressionCodec.None, CompressionCodec.None, CompressionCodec.Gzip), initialByteCount: 200);
        long now = world.Clock.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (ModelRecord record in records)
        {
            builder.Append(now, key: null, (ReadOnlyMemory<byte>?)BrokerReader.ValueOf(record));
        }

        return builder.Build(producer, sequence, isTransactional).ToArray();
    }

    protected static ProduceRequest Produce(TopicPartition partition, byte[] batch, short acks, int timeoutMilliseconds, string? transactionalId = null) => new()
    {
        TransactionalId = transactionalId,
        Acks = acks,
        TimeoutMilliseconds = timeoutMilliseconds,
        Topics = [new ProduceTopic { Name = partition.Topic, Partitions = [new ProducePartition { Index = partition.Partition, Records = batch }] }],
    };

    protected static async Task<ProducePartitionResponse?> SendAsync(SimulatedLink link, ProduceRequest request, short version) =>
        (await link.SendAsync<ProduceRequest, ProduceResponse>(request, version))?.Topics[0].Partitions[0];

    /// <summary>The high watermark, as a client learns it; null if it does not.</summary>
    protected async Task<long?> EndAsync(SimulatedLink link, TopicPartition partition)
    {
        int epoch = World.Model[partition].LeaderEpoch;
        ListOffsetsRequest request = new()
        {
            Topics = [new ListOffsetsTopic { Name = partition.Topic, Partitions = [new ListOffsetsPartition { Index = partition.Partition, Timestamp = -1 }] }],
        };
        ListOffsetsResponse? response = await link.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(request, 7);

        // A consumer learns by the leader epoch that the log ends elsewhere by now, and does not commit what it has been told before.
        return response?.Topics[0].Partitions[0] is { ErrorCode: ErrorCode.None } found && epoch == World.Model[partition].LeaderEpoch ? found.Offset : null;
    }
}
