namespace Millrace.Testing;

/// <summary>
/// A clock that stands still until it is moved. Timers, delays and time-outs that are made with it fire while it is moved,
/// in the order in which they are due, each at its own time.
/// </summary>
/// <remarks>Safe for use from several threads. Timers fire on the thread that moves the clock; one that is due at once fires on the pool.</remarks>
public sealed class VirtualTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly HashSet<VirtualTimer> _timers = [];
    private readonly DateTimeOffset _start;
    private TimeSpan _elapsed;
    private long _lastNumber;
    private int _firingCount;
    private long _firingVersion;

    /// <summary>Creates a clock.</summary>
    /// <param name="start">What it shows at first.</param>
    public VirtualTime(DateTimeOffset start) => _start = start.ToUniversalTime();

    /// <summary>UTC, wherever the test runs.</summary>
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <inheritdoc/>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>When the next timer is due; null when none is set.</summary>
    public DateTimeOffset? NextDue
    {
        get
        {
            lock (_gate) return First() is { } next ? _start + next.Due : null;
        }
    }

    /// <summary>Timers that are firing, or are about to without the clock being moved.</summary>
    internal int FiringCount => Volatile.Read(ref _firingCount);

    /// <summary>Another number whenever a timer has begun to fire.</summary>
    internal long FiringVersion => Volatile.Read(ref _firingVersion);

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow()
    {
        lock (_gate) return _start + _elapsed;
    }

    /// <inheritdoc/>
    public override long GetTimestamp()
    {
        lock (_gate) return _elapsed.Ticks;
    }

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        VirtualTimer timer = new(this, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>
    /// Moves the clock, and fires what comes due on the way. What a timer sets in motion on other threads is not waited for:
    /// <see cref="MillraceTestHost.AdvanceAsync"/> does that.
    /// </summary>
    /// <param name="by">How far, from zero.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is negative: time does not go back.</exception>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        DateTimeOffset target = GetUtcNow() + by;
        while (Step(target))
        {
        }
    }

    /// <summary>Moves the clock to the next timer that is due until <paramref name="target"/> and fires it; without one, to the target. False then.</summary>
    internal bool Step(DateTimeOffset target)
    {
        VirtualTimer? due;
        lock (_gate)
        {
            TimeSpan until = target - _start;
            due = First() is { } first && first.Due <= until ? first : null;
            TimeSpan now = due?.Due ?? until;
            if (now > _elapsed) _elapsed = now;
            if (due is null) return false;
            BeginFiring(due);
        }

        Fire(due);
        return true;
    }

    /// <summary>Forgets every timer, as a machine does that goes down.</summary>
    internal void ForgetTimers()
    {
        lock (_gate) _timers.Clear();
    }

    // Under the lock.
    private VirtualTimer? First() => _timers.Count == 0 ? null : _timers.MinBy(timer => (timer.Due, timer.Number));

    // Under the lock.
    private void BeginFiring(VirtualTimer timer)
    {
        if (timer.Period > TimeSpan.Zero) timer.Due = _elapsed + timer.Period;
        else _timers.Remove(timer);
        Interlocked.Increment(ref _firingCount);
        Interlocked.Increment(ref _firingVersion);
    }

    private void Fire(VirtualTimer timer)
    {
        try
        {
            timer.Callback();
        }
        finally
        {
            Interlocked.Decrement(ref _firingCount);
        }
    }

    private sealed class VirtualTimer(VirtualTime time, Action callback) : ITimer
    {
        public Action Callback { get; } = callback;

        public TimeSpan Due { get; set; }

        public TimeSpan Period { get; private set; }

        /// <summary>Timers that are due at one time fire in the order in which they were set.</summary>
        public long Number { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._gate)
            {
                Period = period;
                Number = ++time._lastNumber;
                if (dueTime < TimeSpan.Zero)
                {
                    time._timers.Remove(this);
                    return true;
                }

                Due = time._elapsed + dueTime;
                time._timers.Add(this);
                if (dueTime > TimeSpan.Zero) return true;
                time.BeginFiring(this);
            }

            // Not on this thread: whoever sets a timer may hold a lock that the callback takes.
            ThreadPool.UnsafeQueueUserWorkItem(static timer => timer.FireNow(), this, preferLocal: false);
            return true;
        }

        public void Dispose()
        {
            lock (time._gate) time._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void FireNow() => time.Fire(this);
    }
}
