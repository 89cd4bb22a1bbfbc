using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Log messages; event ids 1000 to 1999.</summary>
internal static partial class LogMessages
{
    [LoggerMessage(1000, LogLevel.Error, "Partition {Partition} is offline. {Reason}")]
    public static partial void PartitionOffline(ILogger logger, TopicPartition partition, string reason);

    [LoggerMessage(1001, LogLevel.Information, "Opened {Path}: {PartitionCount} partitions after {Stop}, in {ElapsedMilliseconds:F0} ms.")]
    public static partial void Opened(ILogger logger, string path, int partitionCount, string stop, double elapsedMilliseconds);

    [LoggerMessage(1002, LogLevel.Information, "Recovery: {Finding}")]
    public static partial void RecoveryFinding(ILogger logger, string finding);

    [LoggerMessage(1003, LogLevel.Warning, "Recovery: {Finding}")]
    public static partial void RecoveryWarning(ILogger logger, string finding);

    [LoggerMessage(1004, LogLevel.Warning, "The recovery points could not be written: {Reason} The next start scans more than it has to.")]
    public static partial void RecoveryPointsNotWritten(ILogger logger, string reason);

    [LoggerMessage(1005, LogLevel.Information, "Closed {Path} cleanly.")]
    public static partial void ClosedCleanly(ILogger logger, string path);

    [LoggerMessage(1006, LogLevel.Warning, "Closed {Path}; it counts as not cleanly closed: {Reason}")]
    public static partial void ClosedUncleanly(ILogger logger, string path, string reason);

    [LoggerMessage(1007, LogLevel.Warning, "The files of segment {BaseOffset} of {Partition}, which has left the log, could not be renamed or deleted: {Reason} The next start deletes them.")]
    public static partial void SegmentNotDeleted(ILogger logger, TopicPartition partition, Offset baseOffset, string reason);

    [LoggerMessage(1008, LogLevel.Warning, "{Path} of a deleted partition could not be removed: {Reason} The next start removes it.")]
    public static partial void DeletedPartitionNotRemoved(ILogger logger, string path, string reason);

    [LoggerMessage(1009, LogLevel.Warning, "{Path} could not be deleted: {Reason} Delete it before the next start, which would otherwise trust what a failing disk may have lost.")]
    public static partial void BootNotForgotten(ILogger logger, string path, string reason);

    [LoggerMessage(1010, LogLevel.Warning, "Partition {Partition} is online again. It ends at offset {EndOffset} and is in leader epoch {LeaderEpoch}.")]
    public static partial void PartitionOnlineAgain(ILogger logger, TopicPartition partition, Offset endOffset, int leaderEpoch);

    [LoggerMessage(1011, LogLevel.Warning, "The leader epochs of {Partition} whose records are deleted could not be taken out of their file: {Reason} It is tried again with the next deletion.")]
    public static partial void LeaderEpochsNotTrimmed(ILogger logger, TopicPartition partition, string reason);

    [LoggerMessage(1012, LogLevel.Error, "The commit journal in {Path} failed: {Reason} Nothing that it was given then is acknowledged by it. What it holds is synced in the partitions now, and so is each partition by itself until the next start. Mend the disk, and restart.")]
    public static partial void JournalFailed(ILogger logger, string path, string reason);

    [LoggerMessage(1013, LogLevel.Warning, "The commit journal in {Path} is kept, since a partition that is offline may need what it holds. There is no other one until the next start: each partition is synced by itself.")]
    public static partial void JournalKept(ILogger logger, string path);

    [LoggerMessage(1014, LogLevel.Error, "The commit journal in {Path} cannot be read: {Reason} The partitions that are offline stay so until it can: it may hold what they lack.")]
    public static partial void JournalUnreadable(ILogger logger, string path, string reason);

    [LoggerMessage(1015, LogLevel.Error, "The commit journal in {Path} is damaged: {Damage}. Records that were acknowledged may be missing at the ends of the partitions that need it to come back: {Partitions}.")]
    public static partial void JournalDamaged(ILogger logger, string path, string damage, string partitions);

    [LoggerMessage(1016, LogLevel.Warning, "The partition in {Path} could not be created, and what was made of it could not be taken away: {Reason} The next start may find it, empty.")]
    public static partial void CreationNotUndone(ILogger logger, string path, string reason);

    [LoggerMessage(1100, LogLevel.Information, "Retention: {Partition} starts at offset {NewStart} now, no longer at {OldStart}.")]
    public static partial void RetentionMovedStart(ILogger logger, TopicPartition partition, Offset oldStart, Offset newStart);

    [LoggerMessage(1101, LogLevel.Warning, "Retention could not be applied to {Place}: {Reason} It is tried again at the next check.")]
    public static partial void RetentionFailed(ILogger logger, string place, string reason);

    [LoggerMessage(1102, LogLevel.Information, "Compacted {Partition}: read {ReadByteCount} bytes and wrote {WrittenByteCount}, in {ElapsedMilliseconds:F0} ms.")]
    public static partial void Compacted(ILogger logger, TopicPartition partition, long readByteCount, long writtenByteCount, double elapsedMilliseconds);

    [LoggerMessage(1103, LogLevel.Error, "{Partition} is not compacted any more: {Reason} It goes on growing, and others are compacted; it is tried again after a restart.")]
    public static partial void Uncleanable(ILogger logger, TopicPartition partition, string reason);

    [LoggerMessage(1105, LogLevel.Warning, "The compaction of {Partition} failed: {Reason} It is tried again.")]
    public static partial void CompactionFailed(ILogger logger, TopicPartition partition, string reason);
}
