namespace Millrace.Testing;

/// <summary>
/// The clock of one simulated machine's sessions with its broker: another clock, until the machine goes down. Then every
/// time-out has passed, so that nothing of the machine waits any longer for a broker that is gone.
/// </summary>
/// <param name="inner">What time-outs are measured with.</param>
/// <param name="calendar">What day and time it is: the broker judges the times of records by it, so it is the application's.</param>
internal sealed class MachineTime(TimeProvider inner, TimeProvider calendar) : TimeProvider
{
    /// <summary>Longer than any time-out that anybody measures with it.</summary>
    private static readonly TimeSpan s_afterTheEnd = TimeSpan.FromDays(365);

    private readonly Lock _gate = new();
    private readonly HashSet<MachineTimer> _timers = [];
    private bool _hasEnded;

    public override TimeZoneInfo LocalTimeZone => inner.LocalTimeZone;

    public override long TimestampFrequency => inner.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => calendar.GetUtcNow();

    public override long GetTimestamp()
    {
        long timestamp = inner.GetTimestamp();
        lock (_gate) return _hasEnded ? timestamp + (long)(s_afterTheEnd.TotalSeconds * inner.TimestampFrequency) : timestamp;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        MachineTimer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>The machine is down: what waits, waits no longer.</summary>
    public void End()
    {
        List<MachineTimer> waiting;
        lock (_gate)
        {
            _hasEnded = true;
            waiting = [.. _timers];
            _timers.Clear();
        }

        waiting.ForEach(timer => timer.FireNow());
    }

    private sealed class MachineTimer : ITimer
    {
        private readonly MachineTime _time;
        private readonly TimerCallback _callback;
        private readonly object? _state;
        private readonly ITimer _inner;

        public MachineTimer(MachineTime time, TimerCallback callback, object? state)
        {
            (_time, _callback, _state) = (time, callback, state);
            _inner = time.Inner.CreateTimer(static timer => ((MachineTimer)timer!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        private TimeSpan Period { get; set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            bool isSet = dueTime >= TimeSpan.Zero;
            lock (_time._gate)
            {
                Period = period;
                if (!_time._hasEnded)
                {
                    if (isSet) _time._timers.Add(this);
                    else _time._timers.Remove(this);
                    return _inner.Change(dueTime, period);
                }
            }

            if (isSet) FireNow();
            return true;
        }

        // Not on the caller's thread: it may hold a lock that the callback takes.
        public void FireNow() => ThreadPool.UnsafeQueueUserWorkItem(static timer => timer._callback(timer._state), this, preferLocal: false);

        public void Dispose()
        {
            lock (_time._gate) _time._timers.Remove(this);
            _inner.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            lock (_time._gate) _time._timers.Remove(this);
            return _inner.DisposeAsync();
        }

        private void Fire()
        {
            lock (_time._gate)
            {
                if (_time._hasEnded) return;
                if (Period <= TimeSpan.Zero) _time._timers.Remove(this);
            }

            _callback(_state);
        }
    }

    private TimeProvider Inner => inner;
}
