namespace Millrace.Log;

/// <summary>
/// When the partitions that are offline are tried again: after a second, then after twice as long each time, up to a minute. One that
/// fails again soon after it came back goes on where it was, so that it does not come and go each second.
/// </summary>
internal sealed class ReopenSchedule
{
    private static readonly TimeSpan FirstDelay = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaximumDelay = TimeSpan.FromMinutes(1);

    private readonly TimeProvider _time;
    private readonly Lock _lock = new();

    // Also those that came back not long ago. Guarded by the lock.
    private readonly Dictionary<PartitionLog, Entry> _entries = [];

    public ReopenSchedule(TimeProvider time) => _time = time;

    private sealed record Entry(long Since, TimeSpan Delay, bool IsOffline);

    public bool HasDue
    {
        get
        {
            lock (_lock)
            {
                return _entries.Values.Any(IsDue);
            }
        }
    }

    public void WentOffline(PartitionLog log)
    {
        lock (_lock)
        {
            Entry? before = _entries.GetValueOrDefault(log);
            if (before is { IsOffline: true })
            {
                return;
            }

            bool isSoon = before is not null && _time.GetElapsedTime(before.Since) < MaximumDelay;
            _entries[log] = new Entry(_time.GetTimestamp(), isSoon ? Next(before!.Delay) : FirstDelay, IsOffline: true);
        }
    }

    /// <summary>Those whose time has come; each is asked for once, and <see cref="Tried"/> says how it went.</summary>
    public IReadOnlyList<PartitionLog> TakeDue()
    {
        lock (_lock)
        {
            foreach ((PartitionLog log, Entry entry) in _entries.Where(entry => !entry.Value.IsOffline).ToList())
            {
                if (_time.GetElapsedTime(entry.Since) >= MaximumDelay)
                {
                    _entries.Remove(log);
                }
            }

            PartitionLog[] due = [.. _entries.Where(entry => IsDue(entry.Value)).Select(static entry => entry.Key)
                .OrderBy(static log => log.TopicPartition.ToString(), StringComparer.Ordinal)];
            foreach (PartitionLog log in due)
            {
                // Not due again while it is tried.
                _entries[log] = new Entry(_time.GetTimestamp(), Next(_entries[log].Delay), IsOffline: true);
            }

            return due;
        }
    }

    public void Tried(PartitionLog log)
    {
        lock (_lock)
        {
            if (_entries.TryGetValue(log, out Entry? entry))
            {
                // As it is now: one that came back and failed again at once has said so already, and was taken for one that is being tried.
                _entries[log] = entry with { Since = _time.GetTimestamp(), IsOffline = !log.IsOnline };
            }
        }
    }

    public void Forget(PartitionLog log)
    {
        lock (_lock)
        {
            _entries.Remove(log);
        }
    }

    private static TimeSpan Next(TimeSpan delay) => delay * 2 < MaximumDelay ? delay * 2 : MaximumDelay;

    private bool IsDue(Entry entry) => entry.IsOffline && _time.GetElapsedTime(entry.Since) >= entry.Delay;
}
