using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>A consumer's state with a clock and a cluster of the test's, and answers that the test makes up.</summary>
internal sealed class ReadingState
{
    public static readonly TopicPartition Partition = new("orders", 0);

    private readonly ConsumerSettings _settings;
    private readonly RecordRunPool _runs = new();

    public ReadingState(ConsumerOptions? options = null, int partitionCount = 1)
    {
        _settings = ConsumerSettings.From(options ?? new ConsumerOptions());
        State = new ConsumerState(
            _settings, new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), new Chance(new Random(1))), TimeSpan.FromMinutes(5));
        PartitionCount = partitionCount;
        View = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 0));
    }

    public ConsumerState State { get; }

    public int PartitionCount { get; }

    public TimeSpan Now { get; set; }

    public ClusterView View { get; set; }

    public short Version { get; set; } = 12;

    public List<ConsumerNotice> Notices { get; } = [];

    /// <summary>What the latest request was.</summary>
    public FetchRequest Request { get; private set; } = new();

    public ConsumerEffects LastEffects { get; private set; } = new();

    public PartitionCursor Cursor => State.Find(Partition)!;

    public MetadataResponse Metadata(int leader, int epoch, Guid topicId = default) => new()
    {
        Brokers =
        [
            new MetadataBroker { NodeId = 1, Host = "one", Port = 1 },
            new MetadataBroker { NodeId = 2, Host = "two", Port = 2 },
            new MetadataBroker { NodeId = 3, Host = "three", Port = 3, Rack = "near" },
        ],
        Topics =
        [
            new MetadataTopic
            {
                Name = "orders",
                TopicId = topicId,
                Partitions = [.. Enumerable.Range(0, PartitionCount).Select(index => new MetadataPartition { Index = index, LeaderId = leader, LeaderEpoch = epoch })],
            },
        ],
    };

    public void Lead(int leader, int epoch, Guid topicId = default) => View = View.Merge(Metadata(leader, epoch, topicId));

    public ReadingState Assign(long offset, int leaderEpoch = -1)
    {
        State.Assign(
            Enumerable.Range(0, PartitionCount).Select(index => new TopicPartitionOffset(new TopicPartition("orders", index), new Offset(offset), leaderEpoch)),
            isHeld: false);
        return this;
    }

    public ConsumerEffects Plan()
    {
        var effects = new ConsumerEffects();
        State.PlanFetches(View, Now, effects);
        Keep(effects);
        return effects;
    }

    public FetchPlan PlanOne() => Assert.Single(Plan().Fetches);

    /// <summary>The request that a plan becomes.</summary>
    public FetchRequest Send(FetchPlan plan)
    {
        var request = new FetchRequest { MaxBytes = plan.MaxByteCount };
        plan.Session.Write(request, plan.Targets, Version);
        return Request = request;
    }

    public void Answer(FetchPlan plan, params FetchPartitionResponse[] partitions)
    {
        Send(plan);
        AnswerSent(plan, partitions);
    }

    public void AnswerSent(FetchPlan plan, params FetchPartitionResponse[] partitions)
    {
        Guid id = View.Topics["orders"].TopicId;
        AnswerSent(plan, new FetchResponse { Topics = [new FetchTopicResponse { Name = "orders", TopicId = id, Partitions = [.. partitions] }] });
    }

    public void AnswerSent(FetchPlan plan, FetchResponse response)
    {
        var effects = new ConsumerEffects();
        State.EndFetch(plan, response, plan.Session.Accept(response), Now, effects);
        Keep(effects);
    }

    public void Fail(FetchPlan plan)
    {
        Send(plan);
        plan.Session.Reset();
        var effects = new ConsumerEffects();
        State.EndFetch(plan, null, FetchSessionVerdict.Failed, Now, effects);
        Keep(effects);
    }

    public static FetchPartitionResponse Fetched(params ReadOnlyMemory<byte>[] batches) => new()
    {
        Records = batches.SelectMany(batch => batch.ToArray()).ToArray(),
        HighWatermark = 1000,
        LastStableOffset = 900,
    };

    public static FetchPartitionResponse Error(ErrorCode error) => new() { ErrorCode = error };

    public static ReadOnlyMemory<byte> Batch(
        long baseOffset,
        int count,
        int epoch = 3,
        int valueByteCount = 4,
        long producerId = -1,
        CompressionCodec codec = CompressionCodec.None,
        byte[]? value = null)
    {
        var builder = new RecordBatchBuilder(codec);
        for (int i = 0; i < count; i++)
        {
            builder.Append(0, null, value ?? new byte[valueByteCount]);
        }

        var producer = new ProducerIdentity(producerId, (short)(producerId < 0 ? -1 : 0));
        return At(builder.Build(producer, producerId < 0 ? -1 : 0, isTransactional: producerId >= 0), baseOffset, epoch);
    }

    public static ReadOnlyMemory<byte> Marker(long offset, long producerId, bool isCommit, int epoch = 3) =>
        At(new EndTransactionMarker(isCommit, 0).ToBatch(new ProducerIdentity(producerId, 0), timestamp: 0), offset, epoch);

    /// <summary>Offsets that are handed out, until nothing is ready.</summary>
    public List<long> TakeAll() => Take(int.MaxValue);

    public List<long> Take(int maxRecords)
    {
        var records = new List<ConsumerRecord>();
        State.Take(maxRecords, records);
        while (records.Count < maxRecords && State.TryBeginOpen(out Opening opening))
        {
            Open(opening);
            State.Take(maxRecords, records);
        }

        return [.. records.Select(record => record.Offset.Value)];
    }

    public void Open(in Opening opening)
    {
        RecordRun? run = opening.Fetched.OpenNext(
            opening.From, _settings.MaxDecompressedBatchByteCount, _runs, out Offset next, out int byteCount, out KafkaCorruptBatchException? fault);
        State.EndOpen(opening, run, next, byteCount, fault);
    }

    private static Memory<byte> At(Memory<byte> batch, long baseOffset, int epoch)
    {
        RecordBatch.Assign(batch.Span, new Offset(baseOffset), epoch);
        return batch;
    }

    private void Keep(ConsumerEffects effects)
    {
        LastEffects = effects;
        Notices.AddRange(effects.Notices);
        foreach ((TopicPartition partition, LeaderIdAndEpoch leader) in effects.Leaders)
        {
            View = View.WithLeader(partition, leader, []) ?? View;
        }
    }
}
