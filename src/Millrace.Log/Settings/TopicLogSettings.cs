using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>How old records go (cleanup.policy).</summary>
[Flags]
public enum CleanupPolicy
{
    /// <summary>Nothing goes but what is below the log's start.</summary>
    None = 0,

    /// <summary>Whole segments go by age and by size.</summary>
    Delete = 1,

    /// <summary>Of each key the newest record stays.</summary>
    Compact = 2,
}

/// <summary>Whose clock a record's time is from (message.timestamp.type).</summary>
public enum MessageTimestampType
{
    /// <summary>The producer's.</summary>
    CreateTime,

    /// <summary>The broker's, when it appends.</summary>
    LogAppendTime,
}

/// <summary>
/// The settings of a topic, as its partitions read them: one immutable snapshot, replaced as a whole. Names, limits and documentation are in
/// <see cref="TopicSettingTable"/>; the defaults are Kafka's. Times are in milliseconds, as in the records.
/// </summary>
public sealed record TopicLogSettings
{
    public const long NoLimit = -1;

    private const long Hour = 60 * 60 * 1000L;
    private const long Day = 24 * Hour;

    public static readonly TopicLogSettings Default = new();

    public CleanupPolicy CleanupPolicy { get; init; } = CleanupPolicy.Delete;

    /// <summary>Null: each batch stays as its producer compressed it.</summary>
    public CompressionCodec? Compression { get; init; }

    public long DeleteRetentionMilliseconds { get; init; } = Day;

    public long FileDeleteDelayMilliseconds { get; init; } = 60 * 1000;

    public long FlushRecordCount { get; init; } = long.MaxValue;

    public long FlushMilliseconds { get; init; } = long.MaxValue;

    public int IndexIntervalByteCount { get; init; } = 4096;

    public long MaximumCompactionLagMilliseconds { get; init; } = long.MaxValue;

    public int MaximumBatchByteCount { get; init; } = 1024 * 1024 + RecordBatchHeader.LengthPrefixByteCount;

    public long MaximumTimestampAfterMilliseconds { get; init; } = Hour;

    public long MaximumTimestampBeforeMilliseconds { get; init; } = long.MaxValue;

    public MessageTimestampType TimestampType { get; init; } = MessageTimestampType.CreateTime;

    public double MinimumCleanableDirtyRatio { get; init; } = 0.5;

    public long MinimumCompactionLagMilliseconds { get; init; }

    public int MinimumInSyncReplicaCount { get; init; } = 1;

    public bool IsPreallocated { get; init; }

    /// <summary>Negative: without limit.</summary>
    public long RetentionByteCount { get; init; } = NoLimit;

    /// <summary><see cref="NoLimit"/>: for ever.</summary>
    public long RetentionMilliseconds { get; init; } = 7 * Day;

    public int SegmentByteCount { get; init; } = 1 << 30;

    public int SegmentIndexByteCount { get; init; } = 10 << 20;

    public long SegmentJitterMilliseconds { get; init; }

    public long SegmentMilliseconds { get; init; } = 7 * Day;

    public bool IsUncleanLeaderElectionEnabled { get; init; }

    public bool IsCompacted => CleanupPolicy.HasFlag(CleanupPolicy.Compact);

    public bool IsDeleted => CleanupPolicy.HasFlag(CleanupPolicy.Delete);

    /// <summary>The age at which the active segment is closed: a compacted log has to close it in time for its largest compaction lag.</summary>
    public long LongestSegmentMilliseconds =>
        IsCompacted ? Math.Min(SegmentMilliseconds, MaximumCompactionLagMilliseconds) : SegmentMilliseconds;
}
