namespace Millrace.Log.Tests;

/// <summary>Keeps what wants a sync, and syncs nothing.</summary>
internal sealed class QueuedLogs : ICommitter
{
    public List<PartitionLog> Logs { get; } = [];

    void ICommitter.Queue(ReadOnlySpan<PartitionLog> logs, bool mayBlock) => Logs.AddRange(logs);
}
