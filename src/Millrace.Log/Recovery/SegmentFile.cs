using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The files of a segment as recovery finds them, and as it leaves them.</summary>
internal sealed record SegmentFile(Offset BaseOffset, LazyFile File, long Length) : IDisposable
{
    public OffsetIndex? Index { get; set; }

    public TimeIndex? TimeIndex { get; set; }

    public TransactionIndex? TransactionIndex { get; set; }

    /// <summary>Null where the batches were not looked at.</summary>
    public IndexProgress? Progress { get; set; }

    /// <param name="isComplete">Whether it has a successor.</param>
    public LogSegment ToLogSegment(LogSettings settings, bool isComplete)
    {
        int byteCount = checked((int)Length);
        return new LogSegment(BaseOffset, File, Index!, TimeIndex!, TransactionIndex!, byteCount, settings, Progress)
        {
            StoredByteCount = byteCount,
            SyncedByteCount = byteCount,
            IsCompleteAndSynced = isComplete,
        };
    }

    public void Dispose()
    {
        File.Dispose();
        Index?.Dispose();
        TimeIndex?.Dispose();
        TransactionIndex?.Dispose();
    }
}
