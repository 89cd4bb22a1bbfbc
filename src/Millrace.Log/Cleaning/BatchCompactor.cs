using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What of each batch of a log stays, by Kafka's rules. It is shown all batches of a log in their order.</summary>
/// <remarks>
/// <code>
/// record or batch                                    stays
/// behind the part that is compacted                  as it is
/// data of an aborted transaction                     never
/// a record without key                               never
/// a record whose key has a newer one                 never
/// a tombstone                                        until the delete horizon of its batch, which its first compaction sets
/// the marker of a transaction with data before it    always
/// the marker of one that has no data left            until its delete horizon, which is set when this is first seen
/// a batch without records left                       if it is its producer's last, or the last of the part that is compacted
/// </code>
/// </remarks>
internal sealed class BatchCompactor
{
    private readonly KeyOffsets _keys;
    private readonly Offset _end;
    private readonly AbortedBatches _aborted;
    private readonly IReadOnlyList<IReadOnlyDictionary<long, LastBatch>> _lastBatches;
    private readonly long _now;
    private readonly long _deleteHorizon;

    // Producers that have data before the marker that comes next.
    private readonly HashSet<long> _producersWithData = [];

    /// <param name="end">Where the part ends that is compacted: the end of a batch.</param>
    /// <param name="lastBatches">The last batches of producers that are remembered, as they stand and as they stood earlier.</param>
    public BatchCompactor(
        KeyOffsets keys,
        Offset end,
        AbortedBatches aborted,
        IReadOnlyList<IReadOnlyDictionary<long, LastBatch>> lastBatches,
        long now,
        long deleteRetention)
    {
        _keys = keys;
        _end = end;
        _aborted = aborted;
        _lastBatches = lastBatches;
        _now = now;
        _deleteHorizon = now > long.MaxValue - deleteRetention ? long.MaxValue : now + deleteRetention;
    }

    /// <summary>What stays of a batch; null for nothing.</summary>
    public ReadOnlyMemory<byte>? Compact(in RecordBatchHeader header, ReadOnlyMemory<byte> batch)
    {
        if (header.BaseOffset >= _end)
        {
            return batch;
        }

        bool isDiscardable = IsDiscardable(header, batch.Span);
        bool isDiscarded = isDiscardable && (!header.IsControl || header.DeleteHorizon <= _now);
        CompactedBatch compacted = isDiscarded
            ? default
            : RecordBatchCompaction.Filter(batch.Span, PredicateOf(header), _deleteHorizon, isEndOfNothing: header.IsControl && isDiscardable);
        if (compacted.RecordCount > 0)
        {
            return compacted.Batch ?? batch;
        }

        if (header.NextOffset == _end || IsLastOfProducer(header))
        {
            return RecordBatchCompaction.Empty(header);
        }

        return null;
    }

    private bool IsDiscardable(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (header.IsControl)
        {
            bool isMarker = header.RecordCount == 0 || EndTransactionMarker.TryRead(batch, out _);
            return isMarker && !_producersWithData.Remove(header.Producer.Id);
        }

        if (header.IsTransactional)
        {
            _producersWithData.Add(header.Producer.Id);
        }

        return _aborted.Contains(header);
    }

    private RecordPredicate PredicateOf(RecordBatchHeader header)
    {
        if (header.IsControl)
        {
            return static (_, _, _, _) => true;
        }

        bool keepsTombstones = header.DeleteHorizon is not { } horizon || _now < horizon;
        return (offset, key, hasKey, hasValue) => hasKey && (hasValue || keepsTombstones) && !(_keys.NewestOf(key) > offset);
    }

    /// <summary>What it says of its producer is not said anywhere else.</summary>
    private bool IsLastOfProducer(in RecordBatchHeader header)
    {
        foreach (IReadOnlyDictionary<long, LastBatch> lastBatches in _lastBatches)
        {
            bool isLast = lastBatches.TryGetValue(header.Producer.Id, out LastBatch last)
                && (last.LastDataOffset is { } offset ? header.LastOffset == offset : header.IsControl && header.Producer.Epoch == last.Epoch);
            if (isLast)
            {
                return true;
            }
        }

        return false;
    }
}
