using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Settings of a data directory; names in parentheses are Kafka's.</summary>
public sealed class LogDirectoryOptions
{
    private const int DefaultJournalPieceByteCount = 64 << 10;

    /// <summary>The smallest journal, other than none, for the default size of pieces.</summary>
    public static long LeastCommitJournalByteCount => CommitJournal.LeastByteCount(DefaultJournalPieceByteCount);

    /// <summary>The data directory (log.dirs). It is made if it is not there.</summary>
    public string Path { get; set; } = "";

    /// <summary>A segment that would grow beyond this is closed and the next one begun (log.segment.bytes). Default: 1 GiB.</summary>
    public int SegmentByteCount { get; set; } = 1 << 30;

    /// <summary>Bytes of log between two entries of the offset index (log.index.interval.bytes). Default: 4096.</summary>
    public int IndexIntervalByteCount { get; set; } = 4096;

    /// <summary>The largest size of an offset index (log.index.size.max.bytes). Default: 10 MiB.</summary>
    public int MaximumIndexByteCount { get; set; } = 10 << 20;

    /// <summary>No batch is appended that is larger than this, whatever a topic allows (socket.request.max.bytes). What is in the log already may be larger. Default: 100 MiB.</summary>
    public int MaximumBatchByteCount { get; set; } = 100 << 20;

    /// <summary>Producers remembered in a partition; the one that was silent longest is forgotten first. Default: 100,000.</summary>
    public int MaximumProducerCount { get; set; } = 100_000;

    /// <summary>
    /// A producer that has written nothing to a partition for so long, and has no transaction open there, is forgotten in it (producer.id.expiration.ms). It is looked for with retention.
    /// Default: a day.
    /// </summary>
    public TimeSpan ProducerIdExpiration { get; set; } = TimeSpan.FromDays(1);

    /// <summary>Files of bytes cut off by recovery that are kept in a partition; the oldest goes first. Default: 16.</summary>
    public int MaximumKeptCutCount { get; set; } = 16;

    /// <summary>Files that are kept open; beyond it the one that was not used for longest is closed. Files in use stay open. Default: 4,096.</summary>
    public int MaximumOpenFileCount { get; set; } = 4096;

    /// <summary>
    /// The most that the two files of the journal take together in which partitions share syncs; 0 for no journal. They are made when they are first wanted, and grow from 1 MiB each under load. A
    /// larger journal has its partitions synced less often, and lets a start after a crash write back more. Default: 128 MiB.
    /// </summary>
    public long CommitJournalByteCount { get; set; } = 128 << 20;

    /// <summary>
    /// A partition with more than this to sync is synced in its own files, not by the journal: a large write gains less by sharing a sync than it costs to be written twice. Default: 64 KiB.
    /// </summary>
    public int CommitJournalPieceByteCount { get; set; } = DefaultJournalPieceByteCount;

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
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ProducerIdExpiration, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumKeptCutCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumOpenFileCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(CommitJournalPieceByteCount, RecordBatchHeader.ByteCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(CommitJournalPieceByteCount, CommitJournal.MaximumPieceByteCount);
        if (CommitJournalByteCount != 0)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(CommitJournalByteCount, CommitJournal.LeastByteCount(CommitJournalPieceByteCount), nameof(CommitJournalByteCount));
        }

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
            ProducerIdExpiration,
            MaximumKeptCutCount,
            MaximumOpenFileCount,
            CommitJournalByteCount,
            CommitJournalPieceByteCount,
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
    TimeSpan ProducerIdExpiration,
    int MaximumKeptCutCount,
    int MaximumOpenFileCount,
    long JournalByteCount,
    int JournalPieceByteCount,
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
