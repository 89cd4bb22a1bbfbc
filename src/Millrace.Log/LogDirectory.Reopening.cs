namespace Millrace.Log;

/// <content>Partitions that went offline and are to come back.</content>
public sealed partial class LogDirectory
{
    private readonly ReopenSchedule _reopenings;

    /// <summary>
    /// Raised when a partition is online again, on the thread that brought it back, outside of every lock. Whoever listens says of each when its transactions
    /// are settled (<see cref="PartitionLog.AwaitsSettlement"/>).
    /// </summary>
    public event Action<PartitionLog>? CameBack;

    internal bool IsReturnAwaited => CameBack is not null;

    /// <summary>Whether a partition is offline whose next attempt is due.</summary>
    internal bool HasDueReopening => _reopenings.HasDue;

    internal void ReportReturn(PartitionLog log) => CameBack?.Invoke(log);

    internal void WentOffline(PartitionLog log) => _reopenings.WentOffline(log);

    /// <summary>Tries the partitions that are offline and due. Returns how many are online again.</summary>
    internal int ReopenDue()
    {
        int count = 0;
        foreach (PartitionLog log in _reopenings.TakeDue())
        {
            bool isOnline = log.TryReopen();
            _reopenings.Tried(log, isOnline);
            count += isOnline ? 1 : 0;
            if (log.IsGone)
            {
                _reopenings.Forget(log);
            }
        }

        return count;
    }
}
