using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Settings of a data directory; names in parentheses are Kafka's.</summary>
public sealed class LogDirectoryOptions
{
    /// <summary>The data directory (log.dirs). It is made if it is not there.</summary>
    public string Path { get; set; } = "";

    /// <summary>A segment that would grow beyond this is closed and the next one begun (log.segment.bytes). Default: 1 GiB.</summary>
    public int SegmentByteCount { get; set; } = 1 << 30;

    /// <summary>Bytes of log between two entries of the offset index (log.index.interval.bytes). Default: 4096.</summary>
    public int IndexIntervalByteCount { get; set; } = 4096;

    /// <summary>The largest size of an offset index (log.index.size.max.bytes). Default: 10 MiB.</summary>
    public int MaximumIndexByteCount { get; set; } = 10 << 20;

    /// <summary>No batch is larger than this, whatever a topic allows (socket.request.max.bytes). Default: 100 MiB.</summary>
    public int MaximumBatchByteCount { get; set; } = 100 << 20;

    /// <summary>Producers remembered in a partition; the one that was silent longest is forgotten first. Default: 100,000.</summary>
    public int MaximumProducerCount { get; set; } = 100_000;

    /// <summary>Files of bytes cut off by recovery that are kept in a partition; the oldest goes first. Default: 16.</summary>
    public int MaximumKeptCutCount { get; set; } = 16;

    /// <summary>Files that are kept open; beyond it the one that was not used for longest is closed. Files in use stay open. Default: 4,096.</summary>
    public int MaximumOpenFileCount { get; set; } = 4096;

    /// <summary>
    /// Settings of topics that have none of their own; the sizes of segments and indexes are taken from the options above. Default: Kafka's.
    /// </summary>
    public TopicLogSettings TopicDefaults { get; set; } = TopicLogSettings.Default;

    internal LogSettings ToSettings()
    {
        ArgumentException.ThrowIfNullOrEmpty(Path);
        ArgumentOutOfRangeException.ThrowIfLessThan(SegmentByteCount, RecordBatchHeader.ByteCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(IndexIntervalByteCount, 0);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumIndexByteCount, 8);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumBatchByteCount, RecordBatchHeader.ByteCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumProducerCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumKeptCutCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumOpenFileCount, 1);
        TopicLogSettings topicDefaults = TopicDefaults with
        {
            SegmentByteCount = SegmentByteCount,
            IndexIntervalByteCount = IndexIntervalByteCount,
            SegmentIndexByteCount = MaximumIndexByteCount,
        };
        return new LogSettings(
            Path.TrimEnd('/'),
            SegmentByteCount,
            IndexIntervalByteCount,
            MaximumIndexByteCount,
            MaximumBatchByteCount,
            MaximumProducerCount,
            MaximumKeptCutCount,
            MaximumOpenFileCount,
            topicDefaults);
    }
}

internal sealed record LogSettings(
    string Path,
    int SegmentByteCount,
    int IndexIntervalByteCount,
    int MaximumIndexByteCount,
    int MaximumBatchByteCount,
    int MaximumProducerCount,
    int MaximumKeptCutCount,
    int MaximumOpenFileCount,
    TopicLogSettings TopicDefaults)
{
    /// <summary>The settings for the segments of a topic.</summary>
    public LogSettings For(TopicLogSettings topic) => this with
    {
        SegmentByteCount = topic.SegmentByteCount,
        IndexIntervalByteCount = topic.IndexIntervalByteCount,
        MaximumIndexByteCount = topic.SegmentIndexByteCount,
    };
}
