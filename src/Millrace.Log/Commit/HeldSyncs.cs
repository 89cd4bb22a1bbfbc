using System.Runtime.InteropServices;

namespace Millrace.Log;

/// <summary>
/// Syncs that appends want, held back until all of them are made. Then whoever has made them may sync here and now what nobody else does, and need not wake a thread and be woken by it.
/// To be given to <see cref="LogDirectory.Release"/> in the end, whatever happens: until then nobody else asks for these syncs. Not thread-safe.
/// </summary>
public sealed class HeldSyncs
{
    private readonly List<PartitionLog> _logs = [];

    internal ReadOnlySpan<PartitionLog> Logs => CollectionsMarshal.AsSpan(_logs);

    internal void Add(PartitionLog log) => _logs.Add(log);
}
