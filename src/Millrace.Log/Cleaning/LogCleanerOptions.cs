namespace Millrace.Log;

/// <summary>Settings of retention and compaction on a node; names in parentheses are Kafka's.</summary>
public sealed class LogCleanerOptions
{
    /// <summary>How often it is looked for segments that go by age or size (log.retention.check.interval.ms). At most 24 days. Default: 5 minutes.</summary>
    public TimeSpan RetentionCheckInterval { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Whether topics are compacted (log.cleaner.enable). Default: true.</summary>
    public bool IsEnabled { get; set; } = true;

    /// <summary>Threads that compact, each one partition at a time (log.cleaner.threads). Default: 1.</summary>
    public int ThreadCount { get; set; } = 1;

    /// <summary>
    /// The most memory for the keys of a compaction, over all threads (log.cleaner.dedupe.buffer.size). It is taken when it is needed, and no
    /// more than the records ask for. Default: 128 MiB.
    /// </summary>
    public long KeyMemoryByteCount { get; set; } = 128L << 20;

    /// <summary>How full the table of keys may get (log.cleaner.io.buffer.load.factor). Default: 0.9.</summary>
    public double KeyMemoryLoadFactor { get; set; } = 0.9;

    /// <summary>The buffer for reading and writing logs, over all threads (log.cleaner.io.buffer.size). Larger batches take more. Default: 512 KiB.</summary>
    public int BufferByteCount { get; set; } = 512 << 10;

    /// <summary>How long a thread waits that has found nothing to compact (log.cleaner.backoff.ms). At most 24 days. Default: 15 s.</summary>
    public TimeSpan Backoff { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>The most that any timer can wait.</summary>
    private static readonly TimeSpan LongestInterval = TimeSpan.FromDays(24);

    /// <exception cref="ArgumentOutOfRangeException">A setting makes no sense.</exception>
    public void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(RetentionCheckInterval, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(RetentionCheckInterval, LongestInterval);
        ArgumentOutOfRangeException.ThrowIfLessThan(ThreadCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ThreadCount, 64);
        ArgumentOutOfRangeException.ThrowIfLessThan(KeyMemoryByteCount, 1L << 20);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(KeyMemoryLoadFactor, 0.0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(KeyMemoryLoadFactor, 1.0);
        ArgumentOutOfRangeException.ThrowIfLessThan(BufferByteCount, 4096);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(Backoff, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Backoff, LongestInterval);
    }
}
