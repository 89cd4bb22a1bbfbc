using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// One log file and its index. One writer, under the partition's lock. Readers need no lock: bytes below <see cref="ByteCount"/>
/// never change.
/// </summary>
internal sealed class LogSegment : IDisposable
{
    private readonly int _indexIntervalByteCount;
    private int _byteCount;
    private int _lastIndexedPosition;

    public LogSegment(Offset baseOffset, LazyFile file, OffsetIndex index, int byteCount, int lastIndexedPosition, int indexIntervalByteCount)
    {
        BaseOffset = baseOffset;
        File = file;
        Index = index;
        _byteCount = byteCount;
        _lastIndexedPosition = lastIndexedPosition;
        _indexIntervalByteCount = indexIntervalByteCount;
    }

    public Offset BaseOffset { get; }

    public LazyFile File { get; }

    public OffsetIndex Index { get; }

    /// <summary>Bytes that hold whole batches. The file may be longer where an append failed.</summary>
    public int ByteCount => Volatile.Read(ref _byteCount);

    /// <summary>Bytes that survive the power. Guarded by the partition's lock.</summary>
    public int SyncedByteCount { get; set; }

    /// <summary>Whether the directory's entries of both files survive the power. Guarded by the partition's lock.</summary>
    public bool IsEntrySynced { get; set; }

    /// <summary>Whether it gets no more appends and all of it, the index included, survives the power. Guarded by the partition's lock.</summary>
    public bool IsCompleteAndSynced { get; set; }

    public static LogSegment Create(OpenFiles files, string directory, Offset baseOffset, LogSettings settings)
    {
        LazyFile file = files.Create(directory, FileNames.Segment(baseOffset, FileNames.LogSuffix));
        try
        {
            LazyFile indexFile = files.Create(directory, FileNames.Segment(baseOffset, FileNames.IndexSuffix));
            var index = new OffsetIndex(indexFile, 0, settings.MaximumIndexByteCount);
            return new LogSegment(baseOffset, file, index, 0, 0, settings.IndexIntervalByteCount);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Whether an entry is due before the batch at <paramref name="position"/>. Recovery asks the same question and so makes the same index.</summary>
    public static bool IsIndexEntryDue(int position, int lastIndexedPosition, int intervalByteCount) =>
        position - lastIndexedPosition > intervalByteCount;

    public bool HasRoomFor(int byteCount, Offset lastOffset, int segmentByteCount) =>
        ByteCount == 0
        || (ByteCount <= segmentByteCount - byteCount && lastOffset - BaseOffset <= int.MaxValue && !Index.IsFull);

    /// <summary>Writes one batch at the end without showing it to readers.</summary>
    public void Write(ReadOnlySpan<byte> batch, Offset lastOffset, int position)
    {
        File.Write(batch, position);
        if (IsIndexEntryDue(position, _lastIndexedPosition, _indexIntervalByteCount) && !Index.IsFull)
        {
            Index.Append((int)(lastOffset - BaseOffset), position);
            _lastIndexedPosition = position;
        }
    }

    /// <summary>Shows readers everything written below <paramref name="byteCount"/>.</summary>
    public void Publish(int byteCount) => Volatile.Write(ref _byteCount, byteCount);

    public void Dispose()
    {
        File.Dispose();
        Index.Dispose();
    }
}
