using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>A batch as a client has read it.</summary>
/// <param name="Ids">Of its records; none in a control batch.</param>
internal readonly record struct ReadBatch(RecordBatchHeader Header, IReadOnlyList<int> Ids);

/// <summary>What is known of one partition.</summary>
internal sealed class ModelPartition(TopicPartition name, BrokerModel model)
{
    // What somebody was told or has read, by offset. What is not durable goes when it may be lost.
    private readonly Dictionary<Offset, ModelRecord> _known = [];

    public TopicPartition Name => name;

    /// <summary>Rises whenever records may have been lost that were not on the disk: what is answered to older questions says nothing about those.</summary>
    public int Generation { get; private set; }

    /// <summary>The leader epoch that was last seen.</summary>
    public int LeaderEpoch { get; set; } = -1;

    public bool IsOnline { get; set; }

    public Offset HighWatermark { get; set; }

    public Offset LastStableOffset { get; set; }

    /// <summary>Records below may be gone, as somebody asked for that.</summary>
    public Offset DeleteAsked { get; set; }

    /// <summary>Records below are gone, as somebody was told.</summary>
    public Offset DeletePromised { get; set; }

    /// <summary>Whether old records may go without anybody's asking.</summary>
    public bool IsSizeLimited { get; set; }

    /// <summary>The log starts here, for good.</summary>
    public void StartsAt(Offset start)
    {
        if (start > DeleteAsked)
        {
            Require.That(IsSizeLimited && start <= HighWatermark, $"{name} starts at {start}; only records below {DeleteAsked} were to be deleted, and none at or beyond {HighWatermark}");
            DeleteAsked = start;
        }

        Require.That(start >= DeletePromised, $"{name} starts at {start}; the records below {DeletePromised} were deleted");
        DeletePromised = start;
    }

    /// <summary>What was not on the disk may be gone.</summary>
    public void MayHaveLost()
    {
        Generation++;
        foreach (Offset offset in _known.Where(static entry => entry.Value.DurableAt is null).Select(static entry => entry.Key).ToList())
        {
            _known.Remove(offset);
        }
    }

    /// <summary>Somebody was told that the record is at this offset.</summary>
    /// <param name="generation">Of the question.</param>
    public void Acknowledged(ModelRecord record, Offset offset, bool isOnDisk, int generation)
    {
        model.AcknowledgedCount++;
        if (isOnDisk)
        {
            MakeDurable(record, offset, "it was acknowledged");
        }

        if (isOnDisk || generation == Generation)
        {
            Know(record, offset, "it was acknowledged");
        }
    }

    /// <summary>Somebody has read the batch.</summary>
    public void Seen(ReadBatch batch, bool isCommitted)
    {
        for (int index = 0; index < batch.Ids.Count; index++)
        {
            ModelRecord record = model.Find(batch.Ids[index]);
            Offset offset = batch.Header.BaseOffset + index;
            Require.That(record.Partition == name, $"record {record.Id} of {record.Partition} is not read from {name}");
            Know(record, offset, "it was read");
            if (isCommitted && record.Transaction is { } transaction)
            {
                transaction.Decide(TransactionFate.Committed, $"record {record.Id} is read as committed from {name} at {offset}");
            }

            if (record.IsForDisk || (isCommitted && record.Transaction is not null))
            {
                MakeDurable(record, offset, "it was read");
            }
        }
    }

    /// <summary>
    /// Compares the whole partition, from its start to its high watermark, with what is known. Everything that is in it after a start is there for good.
    /// </summary>
    public void Check(IReadOnlyList<ReadBatch> all, Offset start, Offset end, bool isAfterStart)
    {
        Require.That(start >= DeletePromised, $"{name} starts at {start}; the records below {DeletePromised} were deleted");
        Require.That(start <= DeleteAsked, $"{name} starts at {start}; only records below {DeleteAsked} were to be deleted");
        Dictionary<Offset, ModelRecord> found = [];
        HashSet<ModelRecord> once = [];
        foreach (ReadBatch batch in all)
        {
            for (int index = 0; index < batch.Ids.Count; index++)
            {
                ModelRecord record = model.Find(batch.Ids[index]);
                Offset offset = batch.Header.BaseOffset + index;
                Require.That(record.Partition == name, $"record {record.Id} of {record.Partition} is not in {name}");
                Require.That(once.Add(record), $"record {record.Id} is in {name} once; it is at {offset}, too");
                found.Add(offset, record);
            }
        }

        CheckOrder(all);
        foreach ((Offset offset, ModelRecord record) in _known.Where(entry => entry.Key >= DeleteAsked))
        {
            Require.That(offset < end, $"{name} ends at {end}; record {record.Id} was at {offset}");
            Require.That(found.GetValueOrDefault(offset) == record, $"{name} has record {record.Id} at {offset}, not {found.GetValueOrDefault(offset)?.Id}");
        }

        foreach (ModelRecord record in model.RecordsOf(name).Where(record => record.DurableAt >= DeleteAsked))
        {
            Offset offset = record.DurableAt!.Value;
            Require.That(found.GetValueOrDefault(offset) == record, $"{name} has record {record.Id} at {offset}, where it was on the disk, not {found.GetValueOrDefault(offset)?.Id}");
        }

        foreach ((Offset offset, ModelRecord record) in found)
        {
            Know(record, offset, "it is there");
            if (isAfterStart)
            {
                MakeDurable(record, offset, "it was there after a start");
            }
        }
    }

    /// <summary>Compares what a reader of committed records gets with the fate of every transaction.</summary>
    public void CheckCommitted(IReadOnlyList<ReadBatch> committed, IReadOnlyList<ReadBatch> all, Offset stable)
    {
        HashSet<int> seen = [.. committed.SelectMany(static batch => batch.Ids)];
        foreach (ReadBatch batch in all.Where(batch => batch.Header.LastOffset < stable))
        {
            for (int index = 0; index < batch.Ids.Count; index++)
            {
                ModelRecord record = model.Find(batch.Ids[index]);
                if (batch.Header.BaseOffset + index < DeleteAsked)
                {
                    continue;
                }

                if (record.Transaction is not { } transaction)
                {
                    Require.That(seen.Contains(record.Id), $"record {record.Id} of {name} is read by who wants committed records");
                }
                else
                {
                    TransactionFate fate = seen.Contains(record.Id) ? TransactionFate.Committed : TransactionFate.Aborted;
                    transaction.Decide(fate, $"record {record.Id} in {name} at {batch.Header.BaseOffset + index} below {stable} is {fate}");
                }
            }
        }
    }

    /// <summary>A batch of a producer stands behind those that it sent before.</summary>
    private void CheckOrder(IReadOnlyList<ReadBatch> all)
    {
        Dictionary<ProducerIdentity, (int Sequence, int Id)> last = [];
        foreach (ReadBatch batch in all.Where(static batch => !batch.Header.Producer.IsNone && batch.Ids.Count > 0))
        {
            ProducerIdentity producer = batch.Header.Producer;
            (int sequence, int id) = last.GetValueOrDefault(producer, (-1, -1));
            Require.That(batch.Header.BaseSequence > sequence, $"sequence {batch.Header.BaseSequence} of producer {producer} is not behind {sequence} in {name}");
            Require.That(batch.Ids[0] > id, $"record {batch.Ids[0]} of producer {producer} is not behind {id} in {name}");
            last[producer] = (batch.Header.LastSequence, batch.Ids[^1]);
        }
    }

    private void Know(ModelRecord record, Offset offset, string why)
    {
        if (offset < DeleteAsked)
        {
            return;
        }

        if (_known.TryGetValue(offset, out ModelRecord? known))
        {
            Require.That(known == record, $"record {known.Id} is in {name} at {offset}, not {record.Id}: {why}");
        }

        _known[offset] = record;
    }

    private void MakeDurable(ModelRecord record, Offset offset, string why)
    {
        // A record that was deleted may be written again by a request that was delayed.
        if (record.DurableAt is { } durable && durable >= DeleteAsked)
        {
            Require.That(durable == offset, $"record {record.Id} of {name} stays at {durable}, and is not at {offset}: {why}");
        }

        record.DurableAt = offset;
    }
}
