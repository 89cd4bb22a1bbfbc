namespace Millrace.Log;

/// <content>Syncs that time asks for.</content>
public sealed partial class LogDirectory
{
    /// <summary>Wants on the disk what has been in the page cache for longer than its topic allows (flush.ms).</summary>
    internal void SyncOverdue()
    {
        foreach (PartitionLog log in _partitions.Values)
        {
            if (log.IsSyncOverdue)
            {
                log.WantSync();
            }
        }
    }
}
