using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// One log file and its indexes. One writer, under the partition's lock. Readers need no lock: bytes below <see cref="ByteCount"/>
/// never change.
/// </summary>
internal sealed class LogSegment : IDisposable
{
    private const int HeaderBufferByteCount = 4096;

    private readonly LogSettings _settings;

    // Null until the first append after a start that had no reason to read the segment. Guarded by the partition's lock.
    private IndexProgress? _progress;
    private int _byteCount;
    private long? _firstTimestamp;

    public LogSegment(
        Offset baseOffset,
        LazyFile file,
        OffsetIndex index,
        TimeIndex timeIndex,
        TransactionIndex transactionIndex,
        int byteCount,
        LogSettings settings,
        IndexProgress? progress)
    {
        BaseOffset = baseOffset;
        File = file;
        Index = index;
        TimeIndex = timeIndex;
        TransactionIndex = transactionIndex;
        _byteCount = byteCount;
        _settings = settings;
        _progress = progress;
        HasCheckedTimes = progress is not null;
        HasCheckedTransactions = progress is not null;
    }

    public Offset BaseOffset { get; }

    public LazyFile File { get; }

    public OffsetIndex Index { get; }

    public TimeIndex TimeIndex { get; }

    /// <summary>
    /// Whether it is known that the latest time in the index is what the batches say: they have been looked at. An index has no checksum, and a start takes it as it is.
    /// </summary>
    public bool HasCheckedTimes { get; set; }

    /// <summary>Whether it is known that the entries of the transaction index can be true.</summary>
    public bool HasCheckedTransactions { get; set; }

    /// <summary>Its file is there also where it has no entries: one that is gone would say that nothing was aborted.</summary>
    public TransactionIndex TransactionIndex { get; }

    /// <summary>Bytes that hold whole batches. The file may be longer where an append failed.</summary>
    public int ByteCount => Volatile.Read(ref _byteCount);

    /// <summary>Bytes that survive the power in the file. Guarded by the partition's lock.</summary>
    public int StoredByteCount { get; set; }

    /// <summary>Bytes that survive the power, in the file or in the journal. Guarded by the partition's lock.</summary>
    public int SyncedByteCount { get; set; }

    /// <summary>Whether it has a file whose name no sync of the directory covers that ran or is running. Guarded by the partition's lock.</summary>
    public bool HasNewFile { get; set; }

    /// <summary>The snapshot of the producers before its first batch, until a sync takes it. Guarded by the partition's lock.</summary>
    public LazyFile? NewSnapshot { get; set; }

    /// <summary>Whether it gets no more appends and all of it, the indexes included, survives the power. Guarded by the partition's lock.</summary>
    public bool IsCompleteAndSynced { get; set; }

    /// <param name="now">By the broker's clock, in milliseconds since 1970.</param>
    /// <param name="suffix">Behind the names of its files, until they are renamed.</param>
    public static LogSegment Create(
        OpenFiles files, string directory, Offset baseOffset, LogSettings settings, long now, string suffix = "")
    {
        List<LazyFile> created = [];
        LazyFile Create(string fileSuffix)
        {
            LazyFile file = files.Create(directory, FileNames.Segment(baseOffset, fileSuffix) + suffix);
            created.Add(file);
            return file;
        }

        try
        {
            LazyFile file = Create(FileNames.LogSuffix);
            var index = new OffsetIndex(Create(FileNames.IndexSuffix), baseOffset, 0);
            var timeIndex = new TimeIndex(Create(FileNames.TimeIndexSuffix), baseOffset, 0);
            var transactionIndex = new TransactionIndex(Create(FileNames.TransactionIndexSuffix), 0);
            return new LogSegment(baseOffset, file, index, timeIndex, transactionIndex, 0, settings, new IndexProgress(baseOffset, settings))
            {
                HasNewFile = true,
                CreatedAt = now,
            };
        }
        catch
        {
            created.ForEach(static file => file.Dispose());
            throw;
        }
    }

    /// <summary>When it was made, or opened, by the broker's clock. Guarded by the partition's lock.</summary>
    public long CreatedAt { get; set; }

    /// <summary>
    /// The latest time in the index; -1 where there is none. Of a segment that gets no more appends, the latest of its records.
    /// </summary>
    public long LatestIndexedTimestamp => TimeIndex.Last?.Timestamp ?? -1;

    /// <summary>The latest time of its records; -1 where none has one. Guarded by the partition's lock, and after <see cref="BeginAppends"/> only.</summary>
    public long LatestTimestamp => Progress.LatestTimestamp;

    /// <summary>The time of its first batch: from there on its age counts. -1 where that has none. Guarded by the partition's lock.</summary>
    public long ReadFirstTimestamp()
    {
        if (_firstTimestamp is { } known)
        {
            return known;
        }

        Span<byte> header = stackalloc byte[RecordBatchHeader.ByteCount];
        long timestamp = File.Read(header, 0) == header.Length ? RecordBatchHeader.Read(header).MaxTimestamp : -1;
        _firstTimestamp = timestamp;
        return timestamp;
    }

    public bool HasRoomFor(int byteCount, Offset lastOffset, int segmentByteCount) =>
        ByteCount == 0
        || (ByteCount <= segmentByteCount - byteCount && lastOffset - BaseOffset <= int.MaxValue && !Progress.IsFull);

    /// <summary>
    /// Looks at the batches behind the last indexed one before the first append, if the start did not: whether they end where the log
    /// ends, and which times they have.
    /// </summary>
    /// <exception cref="IOException">They do not.</exception>
    public void BeginAppends(Offset logEndOffset)
    {
        if (_progress is not null)
        {
            return;
        }

        var progress = IndexProgress.Resume(BaseOffset, _settings, Index, TimeIndex);
        Offset next = BaseOffset;
        int start = Index.Last?.Position ?? 0;
        using (var walker = new BatchWalker(File, start, ByteCount, verifiesChecksums: false, HeaderBufferByteCount))
        {
            while (walker.MoveNext())
            {
                progress.Observe(walker.Header, (int)walker.Position, out _);
                next = walker.Header.NextOffset;
            }

            if (walker.Verdict != BatchVerdict.Valid || next != logEndOffset || File.Length != ByteCount)
            {
                throw new IOException($"{File.Path} does not end with offset {logEndOffset}, as it did when it was closed.");
            }
        }

        _progress = progress;
    }

    /// <summary>Writes one batch at the end without showing it to readers.</summary>
    public void Write(ReadOnlySpan<byte> batch, in RecordBatchHeader header, int position)
    {
        File.Write(batch, position);
        _firstTimestamp = position == 0 ? header.MaxTimestamp : _firstTimestamp;
        if (Progress.Observe(header, position, out int relativeOffset))
        {
            // The time first: a search that sees the offset's entry relies on the time's.
            WriteTimeEntry();
            Index.Append(relativeOffset, position);
            Progress.Indexed(position);
        }
    }

    /// <summary>Takes note of a transaction that a marker in the segment has aborted, before that marker is shown to readers.</summary>
    public void WriteAborted(in AbortedTransaction transaction) => TransactionIndex.Append(transaction);

    public void RenameLog(string suffix) => File.Rename(FileNames.Segment(BaseOffset, FileNames.LogSuffix) + suffix);

    public void RenameIndexes(string suffix)
    {
        Index.File.Rename(FileNames.Segment(BaseOffset, FileNames.IndexSuffix) + suffix);
        TimeIndex.File.Rename(FileNames.Segment(BaseOffset, FileNames.TimeIndexSuffix) + suffix);
        TransactionIndex.File.Rename(FileNames.Segment(BaseOffset, FileNames.TransactionIndexSuffix) + suffix);
    }

    /// <summary>There will be no more appends: the time index gets its last entry, the latest time of the segment.</summary>
    public void Complete() => WriteTimeEntry();

    /// <summary>Shows readers everything written below <paramref name="byteCount"/>.</summary>
    public void Publish(int byteCount) => Volatile.Write(ref _byteCount, byteCount);

    /// <summary>A position at or before the batch that holds the offset.</summary>
    public int PositionBefore(Offset offset) => Index.FindAtOrBefore(offset)?.Position ?? 0;

    /// <summary>A position at or before the first batch with this time or a later one; at most one interval of the index before it.</summary>
    public int PositionBefore(long timestamp)
    {
        // The offset before the time: what the last indexed batch and those before it have is in the time index.
        IndexedPosition? last = Index.Last;
        return TimeIndex.FindAtOrAfter(timestamp) is { } entry ? PositionBefore(entry.LastOffset + -1) : last?.Position ?? 0;
    }

    /// <summary>Renames its files, since it has left the log: the next start deletes them, if nobody has until then.</summary>
    public void MarkDeleted()
    {
        // The log first: a start takes indexes without a log for left over.
        foreach (LazyFile file in Files)
        {
            file.Rename(file.Name + FileNames.DeletedSuffix);
        }
    }

    /// <summary>Deletes its files. Who is reading in them reads on.</summary>
    public void DeleteFiles()
    {
        foreach (LazyFile file in Files)
        {
            file.Delete();
        }
    }

    public void SyncIndexes()
    {
        Index.SyncIfDirty();
        TimeIndex.SyncIfDirty();
        TransactionIndex.SyncIfDirty();
    }

    public void Dispose()
    {
        File.Dispose();
        Index.Dispose();
        TimeIndex.Dispose();
        TransactionIndex.Dispose();
        NewSnapshot?.Dispose();
    }

    private LazyFile[] Files => [File, Index.File, TimeIndex.File, TransactionIndex.File];

    private void WriteTimeEntry()
    {
        if (Progress.IsTimeEntryDue)
        {
            TimeIndex.Append(Progress.LatestTimestamp, Progress.LatestRelativeOffset);
            Progress.TimeIndexed();
        }
    }

    private IndexProgress Progress => _progress ?? throw new InvalidOperationException("Appends to a segment begin with BeginAppends.");
}
