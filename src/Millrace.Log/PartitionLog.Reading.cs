using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Reading: takes no lock, looks at what was published only, and serves nothing that it has not checked.</content>
public sealed partial class PartitionLog
{
    private const int HeaderBufferByteCount = 4096;

    /// <summary>A batch that is larger, and larger than what is asked for, has its checksum looked at before it is read at once.</summary>
    private const int LargeBatchByteCount = 1 << 20;

    /// <summary>
    /// Whole batches from the one that holds <paramref name="from"/> on, of one segment, that end at or before <paramref name="upTo"/>.
    /// A batch that fails its check takes the partition offline.
    /// </summary>
    /// <param name="maximumByteCount">The batches are not longer than this together, but for the first.</param>
    /// <param name="atLeastOneBatch">Whether the first batch is returned even where it alone is longer.</param>
    /// <param name="upTo">Pass <see cref="HighWatermark"/> for consumers.</param>
    /// <param name="minimumPieceByteCount">
    /// From how many bytes on the batches are not copied: the result is <see cref="ReadResult.InFile"/>. Where the storage has no files of the
    /// operating system they are always copied.
    /// </param>
    /// <param name="findsAborted">
    /// Whether what was aborted among the batches comes with them, from the segments that they were read from. <paramref name="upTo"/> is not beyond
    /// <see cref="LastStableOffset"/> then: how a transaction beyond it ends is not known yet. Where it cannot be told nothing is served.
    /// </param>
    public ReadResult Read(
        Offset from, int maximumByteCount, bool atLeastOneBatch, Offset upTo, int minimumPieceByteCount = int.MaxValue, bool findsAborted = false)
    {
        int generation = Volatile.Read(ref _generation);
        if (OfflineReason is { } reason)
        {
            return new ReadResult.Offline(reason);
        }

        // The end before the segments: whatever is below this end is in the segments that are read after it.
        Offset end = LogEndOffset;
        while (true)
        {
            LogSegment[] segments = Volatile.Read(ref _segments);
            if (generation != Volatile.Read(ref _generation))
            {
                return new ReadResult.Offline($"The log of {TopicPartition} went offline and came back meanwhile.");
            }

            if (from < LogStartOffset || from > end)
            {
                return new ReadResult.OutOfRange(LogStartOffset, end);
            }

            upTo = Offset.Min(upTo, end);
            if (from >= upTo)
            {
                return Nothing(from);
            }

            try
            {
                ReadResult result = ReadSegments(segments, from, maximumByteCount, atLeastOneBatch, upTo, minimumPieceByteCount);
                return findsAborted ? WithAborted(result, segments, from, generation) : result;
            }
            catch (IOException exception)
            {
                return ReadFailed(exception, segments, FindSegment(segments, from));
            }
            catch (ObjectDisposedException)
            {
                if (!HaveChangedSince(segments))
                {
                    return new ReadResult.Offline($"The log of {TopicPartition} is closed.");
                }
            }
        }
    }

    /// <summary>
    /// What a read from an offset on would wait for the disk for; null where it is in memory, or nobody can tell. The range is the caller's, who
    /// disposes it.
    /// </summary>
    /// <param name="byteCount">How much will be read.</param>
    public ColdRange? FindCold(Offset from, int byteCount)
    {
        if (!IsOnline || from < LogStartOffset || from >= LogEndOffset)
        {
            return null;
        }

        try
        {
            LogSegment segment = FindSegment(Volatile.Read(ref _segments), from);
            if (segment.Index.Last?.LastOffset < from)
            {
                // Behind the last entry of the index: written a moment ago, or a few kilobytes.
                return null;
            }

            int position = segment.PositionBefore(from);
            int count = Math.Clamp(byteCount, 0, segment.ByteCount - position);
            FileUse use = segment.File.Use();
            if (!use.File.IsInMemory(position, count))
            {
                return new ColdRange(use, position, count);
            }

            use.Dispose();
            return null;
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            // The read itself will tell.
            return null;
        }
    }

    /// <summary>A file that is closed under a reader belongs to a segment that has left the log, unless the log itself is closed.</summary>
    private bool HaveChangedSince(LogSegment[] segments) => !ReferenceEquals(segments, Volatile.Read(ref _segments));

    private static LogSegment FindSegment(LogSegment[] segments, Offset offset) => segments[FindSegmentNumber(segments, offset)];

    /// <summary>The last segment that does not begin beyond the offset, or the first one.</summary>
    private static int FindSegmentNumber(LogSegment[] segments, Offset offset)
    {
        int low = 0;
        int high = segments.Length - 1;
        while (low < high)
        {
            int middle = high - (high - low) / 2;
            if (segments[middle].BaseOffset <= offset)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }

    /// <summary>
    /// Adds what was aborted among what was read. By the segments that were read: retention may have taken one out of the log since, and with it the word
    /// that its records were aborted; and the index of one that compaction has put in its place names no transaction whose records are gone.
    /// </summary>
    private ReadResult WithAborted(ReadResult result, LogSegment[] segments, Offset from, int generation)
    {
        LogPiece? piece = (result as ReadResult.InFile)?.Piece;
        try
        {
            ReadResult complete = result switch
            {
                ReadResult.Data { Batches.IsEmpty: false } data => data with { Aborted = AbortedTransactions(segments, from, data.NextOffset) },
                ReadResult.InFile file => file with { Aborted = AbortedTransactions(segments, from, file.Piece.NextOffset) },
                _ => result,
            };
            if (generation == Volatile.Read(ref _generation))
            {
                piece = null;
                return complete;
            }

            return new ReadResult.Offline($"The log of {TopicPartition} went offline and came back meanwhile.");
        }
        catch (IOException exception)
        {
            return ReadFailed(exception, segments);
        }
        finally
        {
            piece?.Dispose();
        }
    }

    private static ReadResult.Data Nothing(Offset from) => new(ReadOnlyMemory<byte>.Empty, from);

    /// <summary>Reads in the segment that the offset belongs to, or, where nothing from it on is left there, in the next that has something.</summary>
    private ReadResult ReadSegments(
        LogSegment[] segments, Offset from, int maximumByteCount, bool atLeastOneBatch, Offset upTo, int minimumPieceByteCount)
    {
        int number = FindSegmentNumber(segments, from);
        while (true)
        {
            bool isLast = number == segments.Length - 1;
            if (ReadSegment(segments[number], isLast, from, maximumByteCount, atLeastOneBatch, upTo, minimumPieceByteCount) is { } result)
            {
                return result;
            }

            number++;
        }
    }

    /// <summary>Null if nothing from the offset on is left in the segment, and others follow.</summary>
    private ReadResult? ReadSegment(
        LogSegment segment, bool isLast, Offset from, int maximumByteCount, bool atLeastOneBatch, Offset upTo, int minimumPieceByteCount)
    {
        int length = segment.ByteCount;
        using BatchWalker walker = WalkHeaders(segment, segment.PositionBefore(from), length);

        // Where the bytes fail that the index points to, all that is known of their offset is that it is in this segment.
        Offset next = segment.BaseOffset;
        do
        {
            if (!walker.MoveNext())
            {
                bool isCompactedAway = walker.Verdict == BatchVerdict.Valid && !isLast && segment.BaseOffset < SparseBelow;
                return isCompactedAway ? null : Damaged(segment, walker.Position, next, walker.Verdict);
            }

            next = walker.Header.NextOffset;
        }
        while (walker.Header.LastOffset < from);

        if (walker.Header.BaseOffset > from && walker.Header.BaseOffset > SparseBelow)
        {
            // No offset is missing there: the index points beyond the batch that is asked for.
            return Misplaced(segment, walker.Position, walker.Header.BaseOffset, from);
        }

        int start = (int)walker.Position;
        int wanted = Math.Min(Math.Max(maximumByteCount, 0), length - start);
        int first = walker.Header.TotalByteCount;
        if (wanted < first)
        {
            if (!atLeastOneBatch)
            {
                return Nothing(from);
            }

            wanted = first;
        }

        if (wanted >= minimumPieceByteCount && ReadPiece(segment, walker.Header, start, wanted, from, upTo) is { } piece)
        {
            return piece;
        }

        if (first > Math.Max(maximumByteCount, LargeBatchByteCount) && !walker.IsChecksumRight())
        {
            // Before memory is taken for a length that may be wrong.
            return Damaged(segment, start, walker.Header.BaseOffset, BatchVerdict.BadChecksum);
        }

        byte[] bytes = GC.AllocateUninitializedArray<byte>(wanted);
        int count = segment.File.Read(bytes, start);
        return count < wanted
            ? Damaged(segment, start + count, walker.Header.BaseOffset, BatchVerdict.Incomplete)
            : CheckBatches(segment, bytes, start, length, walker.Header.BaseOffset, from, upTo);
    }

    /// <summary>The batches from a position on that fit, without reading them; null where they cannot be sent from their file.</summary>
    private ReadResult? ReadPiece(LogSegment segment, in RecordBatchHeader first, int start, int byteCount, Offset from, Offset upTo)
    {
        FileUse use = segment.File.Use();
        try
        {
            if (use.File.Handle is null)
            {
                return null;
            }

            // The indexed batches that are known to fit are passed by; what follows them, an interval of the index, is looked at.
            // Below the limit, since the index may have an entry already for the batch that comes next.
            int limit = start + byteCount;
            IndexedPosition? indexed = segment.Index.FindAtOrBeforePosition(limit - 1);
            bool isBelowEnd = indexed is null || indexed.Value.LastOffset < upTo;
            int end = Math.Max(start, isBelowEnd ? indexed?.Position ?? 0 : segment.PositionBefore(upTo + -1));
            Offset next = first.BaseOffset;
            using BatchWalker walker = WalkHeaders(segment, end, segment.ByteCount);
            while (walker.MoveNext())
            {
                next = walker.Header.BaseOffset;
                if (walker.Position + walker.Header.TotalByteCount > limit || walker.Header.NextOffset > upTo)
                {
                    break;
                }

                end += walker.Header.TotalByteCount;
                next = walker.Header.NextOffset;
            }

            if (walker.Verdict != BatchVerdict.Valid)
            {
                return Damaged(segment, walker.Position, next, walker.Verdict);
            }

            if (end == start)
            {
                return Nothing(from);
            }

            var piece = new LogPiece(use, start, end - start, next);
            use = default;
            return new ReadResult.InFile(piece);
        }
        finally
        {
            use.Owner?.Leave();
        }
    }

    /// <summary>Keeps the whole batches below <paramref name="upTo"/> of what was read.</summary>
    private ReadResult CheckBatches(LogSegment segment, byte[] bytes, int start, int segmentLength, Offset expected, Offset from, Offset upTo)
    {
        int checkedByteCount = 0;
        while (checkedByteCount < bytes.Length)
        {
            BatchVerdict verdict = RecordBatch.Check(bytes.AsSpan(checkedByteCount), out RecordBatchHeader header);
            int position = start + checkedByteCount;
            bool isCutByLimit = verdict == BatchVerdict.Incomplete && start + bytes.Length < segmentLength;
            if (isCutByLimit)
            {
                break;
            }

            if (verdict != BatchVerdict.Valid)
            {
                return Damaged(segment, position, expected, verdict);
            }

            if (header.BaseOffset != expected && !(header.BaseOffset > expected && header.BaseOffset <= SparseBelow))
            {
                return Misplaced(segment, position, header.BaseOffset, expected);
            }

            if (header.NextOffset > upTo)
            {
                break;
            }

            expected = header.NextOffset;
            checkedByteCount += header.TotalByteCount;
        }

        return checkedByteCount == 0 ? Nothing(from) : new ReadResult.Data(bytes.AsMemory(0, checkedByteCount), expected);
    }

    private BatchWalker WalkHeaders(LogSegment segment, int position, int length) =>
        new(segment.File, position, length, verifiesChecksums: false, HeaderBufferByteCount);

    private ReadResult.Offline Damaged(LogSegment segment, long position, Offset offset, BatchVerdict verdict) =>
        Offline($"{Place(segment, position)} {Sentences.Describe(verdict)}. {Sentences.AfterDamage(_settings.Path, TopicPartition, offset)}", segment);

    private ReadResult.Offline Misplaced(LogSegment segment, long position, Offset found, Offset expected) =>
        Offline($"{Place(segment, position)} has offset {found} where {expected} belongs. {Sentences.AfterDamage(_settings.Path, TopicPartition, expected)}", segment);

    private string Place(LogSegment segment, long position) =>
        Sentences.Place(segment.BaseOffset, TopicPartition, position);

    /// <param name="exception">What the disk said, or the index.</param>
    /// <param name="segments">Those that were read from.</param>
    /// <param name="suspect">The one that was read from, if that is known; an index that is damaged says by itself whose it is.</param>
    private ReadResult.Offline ReadFailed(IOException exception, LogSegment[] segments, LogSegment? suspect = null) => Offline(
        $"Reading from {_directory} failed: {exception.Message} {Sentences.AfterDiskError}",
        exception is DamagedIndexException damage ? FindSegment(segments, damage.SegmentBaseOffset) : suspect);

    /// <param name="suspect">Where the bytes are wrong or cannot be read, if that is known. Nothing happens if it has left the log by now.</param>
    private ReadResult.Offline Offline(string reason, LogSegment? suspect = null)
    {
        CommitEffects effects = CommitEffects.None;
        lock (_writerLock)
        {
            if (suspect is null || _segments.Contains(suspect))
            {
                _firstSuspect = suspect is not null && !(_firstSuspect < suspect.BaseOffset) ? suspect.BaseOffset : _firstSuspect;
                effects = TakeOffline(reason);
            }
        }

        Run(effects);
        return new ReadResult.Offline(OfflineReason ?? reason);
    }
}
