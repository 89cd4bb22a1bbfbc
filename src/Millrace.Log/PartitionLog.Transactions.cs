using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Producers and their transactions.</content>
public sealed partial class PartitionLog
{
    /// <summary>The transactions that no marker has ended yet, in the order in which they began.</summary>
    public IReadOnlyList<OpenTransaction> OpenTransactions
    {
        get
        {
            lock (_writerLock)
            {
                LeaderEpochs epochs = _leaderEpochs;
                return [.. _producers.OpenTransactions.Select(open => open with { LeaderEpoch = epochs.Before(open.FirstOffset + 1), TopicId = TopicId })];
            }
        }
    }

    /// <summary>The producers that the partition remembers.</summary>
    public IReadOnlyList<ActiveProducer> ActiveProducers()
    {
        lock (_writerLock)
        {
            return _producers.ActiveProducers;
        }
    }

    /// <summary>
    /// Forgets the producers that were silent for too long by the broker's clock. In a compacted log none: compaction would take away the last batches of who is forgotten, and the next start find
    /// earlier ones and take them for the last.
    /// </summary>
    internal void ExpireProducers(long now)
    {
        if (Settings.IsCompacted)
        {
            return;
        }

        lock (_writerLock)
        {
            _producers.Expire(now, _settings.ProducerIdExpiration);
        }
    }

    /// <summary>
    /// The aborted transactions that have records at or after <paramref name="from"/> and before <paramref name="upTo"/>, in the order of
    /// their markers. <paramref name="upTo"/> is not beyond <see cref="LastStableOffset"/>: how a transaction beyond it ends is not known
    /// yet. Null if the partition is offline or closed.
    /// </summary>
    /// <remarks>
    /// As the log is now, which is not as it was at an earlier read: a segment that has left it took what it knew along, and a compacted one no longer names a transaction without records. Who
    /// serves records as committed takes the list that comes with them from <see cref="Read"/>.
    /// </remarks>
    internal IReadOnlyList<AbortedTransaction>? AbortedTransactions(Offset from, Offset upTo)
    {
        int generation = Volatile.Read(ref _generation);
        if (!IsOnline)
        {
            return null;
        }

        try
        {
            List<AbortedTransaction> found = AbortedTransactions(Volatile.Read(ref _segments), from, upTo);
            return generation == Volatile.Read(ref _generation) ? found : null;
        }
        catch (IOException exception)
        {
            Offline($"Reading from {_directory} failed: {exception.Message} {Sentences.AfterDiskError}");
            return null;
        }
        catch (ObjectDisposedException)
        {
            return null;
        }
    }

    /// <exception cref="IOException">An index cannot be read, or has lost entries.</exception>
    /// <exception cref="ObjectDisposedException">A segment has left the log, or the log is closed.</exception>
    private List<AbortedTransaction> AbortedTransactions(LogSegment[] segments, Offset from, Offset upTo)
    {
        var found = new List<AbortedTransaction>();

        // A transaction is in the index of the segment that holds its marker, the same as its first record or a later one.
        for (int number = FindSegmentNumber(segments, from); number < segments.Length; number++)
        {
            CheckTransactions(segments[number], number < segments.Length - 1 ? segments[number + 1].BaseOffset : LogEndOffset);
            if (segments[number].TransactionIndex.Collect(from, upTo, found))
            {
                break;
            }
        }

        return found;
    }

    /// <summary>
    /// Looks, before the transaction index of a segment is relied on for the first time, whether it can be true: it has no checksum, a start takes it as it is, and by one that is not aborted records
    /// are shown to readers of committed ones, and outlive those in compaction. Where it cannot, the partition goes offline, and comes back with the index made anew.
    /// </summary>
    /// <exception cref="IOException">It cannot.</exception>
    private void CheckTransactions(LogSegment segment, Offset end)
    {
        if (!segment.HasCheckedTransactions && segment.TransactionIndex.FindImpossible(segment.BaseOffset, end) is { } entry)
        {
            string name = FileNames.Segment(segment.BaseOffset, FileNames.TransactionIndexSuffix);
            throw new IOException(Offline($"{_directory}/{name} has in entry {entry} what no transaction is, and is made anew. The partition comes back by itself.", segment).Reason);
        }

        segment.HasCheckedTransactions = true;
    }

    /// <summary>
    /// Writes the marker that ends the transaction of a producer here, into the page cache: it can be written again from what the
    /// coordinator decided, which is on the disk by now. It is written whether there is a transaction to end or not, since its epoch shuts
    /// out the producer's older selves.
    /// </summary>
    /// <param name="producer">Its epoch is that of the transaction or a newer one.</param>
    /// <param name="coordinatorEpoch">Not older than any that came here before. Null: the one that came last, where no coordinator knows the producer.</param>
    /// <param name="raisesEpoch">
    /// The epoch of the marker is above that of its transaction (KIP-890). One with the epoch of the transaction that is open is late: it belongs to the one before.
    /// </param>
    /// <param name="settles">Whether it is one of those that <see cref="AwaitsSettlement"/> waits for; others come after them.</param>
    public AppendResult AppendMarker(ProducerIdentity producer, bool isCommit, int? coordinatorEpoch, bool raisesEpoch = false, bool settles = false)
    {
        long now = _owner.Time.GetUtcNow().ToUnixTimeMilliseconds();
        AppendResult result;
        CommitEffects effects = CommitEffects.None;
        lock (_writerLock)
        {
            int epoch = coordinatorEpoch ?? _producers.CoordinatorEpochOf(producer.Id);
            Memory<byte> batch = new EndTransactionMarker(isCommit, epoch).ToBatch(producer, now);
            RecordBatchHeader header = RecordBatchHeader.Read(batch.Span);
            result = CheckState(batch.Length)
                ?? (_awaitsSettlement && !settles ? Unsettled() : null)
                ?? CheckMarker(producer, epoch, raisesEpoch)
                ?? Write(batch.Span, [header], AppendDurability.PageCache, ref effects);
        }

        Run(effects);
        return result;
    }

    private AppendResult.Rejected? CheckMarker(ProducerIdentity producer, int coordinatorEpoch, bool raisesEpoch)
    {
        ProducerVerdict verdict = _producers.CheckMarker(producer, coordinatorEpoch, raisesEpoch);
        return verdict == ProducerVerdict.Accept ? null : Refuse(verdict, producer, ProducerState.NoSequence);
    }
}
