using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What a compaction of a partition would work on.</summary>
internal sealed record CleaningPlan
{
    /// <summary>All segments from the first of the log to the last that may be compacted; the active one never is.</summary>
    public required IReadOnlyList<LogSegment> Sources { get; init; }

    /// <summary>Where the log goes on behind them.</summary>
    public required Offset End { get; init; }

    /// <summary>Everything below was compacted before.</summary>
    public required Offset FirstDirty { get; init; }

    public required long CleanByteCount { get; init; }

    public required long DirtyByteCount { get; init; }

    /// <summary>Whether a record is older than max.compaction.lag.ms and was never compacted.</summary>
    public required bool IsOverdue { get; init; }

    /// <summary>Which part of it was never compacted.</summary>
    public double DirtyRatio => (double)DirtyByteCount / (CleanByteCount + DirtyByteCount);
}

/// <summary>What one compaction may use.</summary>
/// <param name="Now">By the broker's clock, in milliseconds since 1970.</param>
/// <param name="IsStopped">Asked between batches.</param>
internal sealed record CleaningLimits(long KeyMemoryByteCount, double LoadFactor, int BufferByteCount, long Now, Func<bool> IsStopped);

/// <summary>What a compaction did.</summary>
/// <param name="IsComplete">False if it was stopped, or its segments left the log meanwhile: what is done stays, and it is begun again later.</param>
internal readonly record struct CleaningOutcome(bool IsComplete, long ReadByteCount, long WrittenByteCount);

/// <summary>A log cannot be compacted; the message says why.</summary>
internal sealed class UncleanableException(string message, Exception? inner = null) : Exception(message, inner);
