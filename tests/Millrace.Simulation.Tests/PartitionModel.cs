using Millrace.Kafka.Records;
using Millrace.Log;
using Record = Millrace.Kafka.Records.Record;

namespace Millrace.Simulation.Tests;

internal delegate void Requirement(bool condition, string what);

/// <summary>A batch as the producer made it, and as it has to lie in the log.</summary>
internal sealed record ModelBatch(byte[] Unassigned, byte[] Bytes, Offset BaseOffset, Offset LastOffset, AppendDurability Durability)
{
    public RecordBatchHeader Header => RecordBatchHeader.Read(Bytes);
}

/// <summary>What a partition has to hold, kept without the log's help.</summary>
internal sealed partial class PartitionModel
{
    private const int ProducerCount = 2;

    // Where the simulation's clock begins.
    private const long FirstTimestamp = 20_000 * 86_400_000L;

    private const long FirstProducerId = 100;

    private readonly List<ModelBatch> _batches = [];
    private readonly List<(Offset LastOffset, int Epoch)> _lost = [];
    private readonly Random _random;
    private ModelBatch? _inFlight;
    private Offset? _syncTarget;
    private Offset _synced;

    public PartitionModel(TopicPartition topicPartition, Guid topicId, int seed)
    {
        TopicPartition = topicPartition;
        TopicId = topicId;
        _random = new Random(seed);
    }

    public TopicPartition TopicPartition { get; }

    public Guid TopicId { get; private set; }

    /// <summary>Whether somebody was told that it is there.</summary>
    public bool IsCreated { get; set; }

    public int Epoch { get; private set; }

    public Offset End => _batches.Count == 0 ? Offset.Zero : _batches[^1].Header.NextOffset;

    /// <summary>Everything below was acknowledged as on the disk, or recovered.</summary>
    public Offset Promised { get; private set; }

    /// <summary>Where the first batch begins that is for the disk and was not synced; the end, if there is none.</summary>
    public Offset HighWatermark
    {
        get
        {
            foreach (ModelBatch batch in _batches)
            {
                if (batch.BaseOffset >= _synced && batch.Durability == AppendDurability.Disk)
                {
                    // What was visible before stays visible: a batch is appended above the mark.
                    return batch.BaseOffset;
                }
            }

            return End;
        }
    }

    /// <summary>Makes the next batch, with the offset and epoch that it has to get. It may be in the log after a crash, or not.</summary>
    public ModelBatch Prepare(Random random, AppendDurability durability)
    {
        int kind = random.Next(ProducerCount + 1 + TransactionalProducerCount);
        byte[] bytes = kind switch
        {
            ProducerCount => Build(random, ProducerIdentity.None, -1),
            < ProducerCount => BuildNext(random, FirstProducerId + kind, skipped: 0),
            _ => BuildNext(random, FirstTransactionalId + kind - ProducerCount - 1, skipped: 0),
        };
        return _inFlight = Assign(bytes, durability);
    }

    public void Appended()
    {
        _batches.Add(_inFlight!);
        _inFlight = null;
    }

    public void SyncBegan() => _syncTarget = End;

    public void SyncEnded(Offset synced, Requirement require)
    {
        require(synced == _syncTarget, $"a sync reaches what was written when it began, {_syncTarget}, not {synced}");
        _synced = synced;
        Promised = synced;
        _syncTarget = null;
    }

    /// <summary>It was begun, and nothing is known to be on the disk by it.</summary>
    public void SyncFailed() => _syncTarget = null;

    public void Closed()
    {
        _synced = End;
        Promised = End;
        _syncTarget = null;
    }

    /// <summary>What was left of its creation has become a partition, with the id that others of its topic have.</summary>
    public void Finished(Guid topicId) => TopicId = topicId;

    /// <summary>Compares what the log recovered with what may be there: a beginning of what was appended, batch by batch, byte by byte.</summary>
    public void Recovered(ReadOnlySpan<byte> log, int epoch, Requirement require)
    {
        if (_inFlight is not null)
        {
            Appended();
        }

        int count = 0;
        while (!log.IsEmpty)
        {
            require(count < _batches.Count, $"{TopicPartition} holds no more than was written");
            ModelBatch expected = _batches[count];
            require(log.StartsWith(expected.Bytes), $"{TopicPartition} holds the batch at {expected.BaseOffset} as it was written");
            log = log[expected.Bytes.Length..];
            count++;
        }

        _lost.AddRange(_batches.Skip(count).Select(static batch => (batch.LastOffset, batch.Header.LeaderEpoch)));
        _batches.RemoveRange(count, _batches.Count - count);
        IsCreated = true;
        Epoch = epoch;
        _synced = End;
        Promised = End;
        _syncTarget = null;
    }

    /// <summary>What the log says of the promise of acks=all, for everything that was ever appended.</summary>
    public void CheckAcknowledgements(PartitionLog log, Requirement require)
    {
        foreach (ModelBatch batch in _batches)
        {
            bool isOnDisk = log.IsOnDisk(batch.LastOffset, batch.Header.LeaderEpoch);
            require(isOnDisk == batch.LastOffset < _synced, $"the batch at {batch.BaseOffset} of {TopicPartition} is on the disk if it is said to be");
        }

        foreach ((Offset lastOffset, int epoch) in _lost)
        {
            require(!log.IsOnDisk(lastOffset, epoch), $"what {TopicPartition} lost at {lastOffset} in epoch {epoch} is not said to be on the disk");
        }
    }

    /// <summary>The last five batches of each producer, of its newest epoch.</summary>
    public IEnumerable<ModelBatch> RememberedBatches() =>
        from batch in _batches
        where batch.Header is { Producer.IsNone: false, IsControl: false }
        group batch by batch.Header.Producer.Id into producer
        from batch in producer.Where(batch => batch.Header.Producer == producer.Last().Header.Producer).TakeLast(5)
        select batch;

    public IEnumerable<byte[]> BatchesWithGap(Random random) =>
        [.. from batch in _batches
            where batch.Header is { Producer.IsNone: false, IsControl: false }
            group batch by batch.Header.Producer.Id into producer
            select BuildNext(random, producer.Key, skipped: 1)];

    /// <summary>Compares what a consumer gets with what is written; what it gets of batches for the disk has to be synced.</summary>
    public void CheckServed(Offset from, Offset highWatermark, ReadOnlySpan<byte> served, Requirement require)
    {
        require(!served.IsEmpty || from >= highWatermark, $"there is something to read at {from} below {highWatermark}");
        int index = _batches.FindIndex(batch => batch.LastOffset >= from);
        while (!served.IsEmpty)
        {
            ModelBatch expected = _batches[index++];
            require(served.StartsWith(expected.Bytes), $"a read serves the batch at {expected.BaseOffset} as it was written");
            bool isSynced = expected.LastOffset < _synced;
            require(isSynced || expected.Durability == AppendDurability.PageCache, "a batch for the disk is served after its sync only");
            served = served[expected.Bytes.Length..];
        }
    }

    /// <summary>A time near those that the records have.</summary>
    public long PickTimestamp(Random random) => FirstTimestamp + random.Next(_batches.Count + 12);

    /// <summary>The first record at or after a time below an offset, found by looking at all.</summary>
    public TimestampedOffset? FirstAt(long timestamp, Offset upTo)
    {
        foreach (Record record in RecordsBelow(upTo))
        {
            if (record.Timestamp >= timestamp)
            {
                return new TimestampedOffset(record.Offset, record.Timestamp);
            }
        }

        return null;
    }

    /// <summary>The first record with the latest time below an offset, found by looking at all.</summary>
    public TimestampedOffset? Latest(Offset upTo)
    {
        TimestampedOffset? latest = null;
        foreach (Record record in RecordsBelow(upTo))
        {
            if (latest is null || record.Timestamp > latest.Value.Timestamp)
            {
                latest = new TimestampedOffset(record.Offset, record.Timestamp);
            }
        }

        return latest;
    }

    private IEnumerable<Record> RecordsBelow(Offset upTo) =>
        _batches.Where(batch => batch.LastOffset < upTo).SelectMany(static batch => RecordBatchReader.Read(batch.Bytes));

    private byte[] BuildNext(Random random, long producerId, int skipped)
    {
        RecordBatchHeader? last = _batches.LastOrDefault(batch => batch.Header.Producer.Id == producerId && !batch.Header.IsControl)?.Header;
        if (last is not { } header)
        {
            // Near the end of the range, so that sequences wrap; at the beginning of it, where a marker has made the producer known.
            bool isKnown = _batches.Exists(batch => batch.Header.Producer.Id == producerId);
            return Build(random, new ProducerIdentity(producerId, 0), isKnown ? skipped : int.MaxValue - random.Next(20));
        }

        bool hasNewEpoch = skipped == 0 && random.Next(10) == 0 && !IsOpen(producerId);
        var identity = header.Producer with { Epoch = (short)(header.Producer.Epoch + (hasNewEpoch ? 1 : 0)) };
        return Build(random, identity, hasNewEpoch ? 0 : Sequence.Add(header.LastSequence, 1 + skipped));
    }

    private byte[] Build(Random random, ProducerIdentity producer, int sequence)
    {
        var builder = new RecordBatchBuilder();
        int recordCount = 1 + random.Next(4);
        byte[] value = new byte[random.Next(120)];
        long timestamp = FirstTimestamp + _batches.Count + random.Next(8);
        for (int record = 0; record < recordCount; record++)
        {
            _random.NextBytes(value);
            builder.Append(timestamp + record, [], keyIsNull: true, value, valueIsNull: false, headers: null);
        }

        return builder.Build(producer, sequence, isTransactional: producer.Id >= FirstTransactionalId).ToArray();
    }

    private ModelBatch Assign(byte[] unassigned, AppendDurability durability)
    {
        byte[] bytes = [.. unassigned];
        RecordBatch.Assign(bytes, End, Epoch);
        RecordBatchHeader header = RecordBatchHeader.Read(bytes);
        return new ModelBatch(unassigned, bytes, header.BaseOffset, header.LastOffset, durability);
    }
}
