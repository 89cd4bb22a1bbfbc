namespace Millrace.Broker;

/// <summary>
/// Wakes many sleepers with one timer: it is set for the earliest of all moments. Safe for any number of threads; a sleeper is woken on a thread of the pool,
/// maybe a little early, and then sets its next moment itself.
/// </summary>
internal sealed class WakeUps<TSleeper> : IDisposable
    where TSleeper : class
{
    /// <summary>A timer takes no more than 49 days. It is set for less where the moment is further away, and again when it has fired.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(1);

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly long _start;
    private readonly Action<TSleeper> _wake;
    private readonly ITimer _timer;

    // Guarded by the lock.
    private readonly SortedSet<(TimeSpan At, long Number)> _order = [];
    private readonly Dictionary<(TimeSpan At, long Number), TSleeper> _sleepers = [];
    private readonly Dictionary<TSleeper, (TimeSpan At, long Number)> _moments = new(ReferenceEqualityComparer.Instance);
    private long _lastNumber;
    private bool _isDisposed;

    public WakeUps(TimeProvider time, Action<TSleeper> wake)
    {
        _time = time;
        _start = time.GetTimestamp();
        _wake = wake;
        _timer = time.CreateTimer(static state => ((WakeUps<TSleeper>)state!).Fired(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The time since the start, in which moments are given.</summary>
    public TimeSpan Now => _time.GetElapsedTime(_start);

    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _order.Count;
            }
        }
    }

    /// <summary>Sets when the sleeper is woken, in the place of what was set before; null: not at all.</summary>
    public void Set(TSleeper sleeper, TimeSpan? at)
    {
        lock (_lock)
        {
            bool isSet = _moments.TryGetValue(sleeper, out (TimeSpan At, long Number) current);
            if (_isDisposed || (isSet ? at == current.At : at is null))
            {
                return;
            }

            if (isSet)
            {
                Remove(current);
            }

            if (at is TimeSpan moment)
            {
                (TimeSpan At, long Number) key = (moment, ++_lastNumber);
                _order.Add(key);
                _sleepers[key] = sleeper;
                _moments[sleeper] = key;
            }

            SetTimer();
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            _order.Clear();
            _sleepers.Clear();
            _moments.Clear();
        }

        _timer.Dispose();
    }

    private void Fired()
    {
        List<TSleeper> due = [];
        lock (_lock)
        {
            TimeSpan now = Now;
            while (_order.Count > 0 && _order.Min.At <= now)
            {
                (TimeSpan At, long Number) key = _order.Min;
                due.Add(_sleepers[key]);
                Remove(key);
            }

            SetTimer();
        }

        foreach (TSleeper sleeper in due)
        {
            _wake(sleeper);
        }
    }

    private void Remove((TimeSpan At, long Number) key)
    {
        _order.Remove(key);
        _sleepers.Remove(key, out TSleeper? sleeper);
        _moments.Remove(sleeper!);
    }

    private void SetTimer()
    {
        if (_isDisposed)
        {
            return;
        }

        if (_order.Count == 0)
        {
            _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            return;
        }

        // Timers count whole milliseconds: rounded down, the last one would be spent in a loop of timers of zero.
        double milliseconds = Math.Ceiling(Math.Clamp((_order.Min.At - Now).TotalMilliseconds, 0, LongestWait.TotalMilliseconds));
        _timer.Change(TimeSpan.FromMilliseconds(milliseconds), Timeout.InfiniteTimeSpan);
    }
}
