namespace Millrace.Log;

/// <summary>Syncs the partitions of a directory that want it.</summary>
internal interface ICommitter
{
    /// <summary>Partitions want a sync.</summary>
    /// <param name="mayBlock">Whether it may be done by the caller's thread.</param>
    void Queue(ReadOnlySpan<PartitionLog> logs, bool mayBlock);
}
