namespace Millrace.Tests;

/// <summary>A clock that stands still until it is told otherwise; timers that are due fire inside of <see cref="Advance"/>.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<ManualTimer> _timers = [];
    private TimeSpan _elapsed;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public int PendingTimerCount
    {
        get
        {
            lock (_gate)
            {
                return _timers.Count(timer => timer.DueAt is not null);
            }
        }
    }

    public override long GetTimestamp()
    {
        lock (_gate)
        {
            return _elapsed.Ticks;
        }
    }

    /// <summary>What happens before somebody is told the time of day.</summary>
    public Action? BeforeUtcNow { get; set; }

    public override DateTimeOffset GetUtcNow()
    {
        BeforeUtcNow?.Invoke();
        return DateTimeOffset.UnixEpoch + TimeSpan.FromDays(20_000) + TimeSpan.FromTicks(GetTimestamp());
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        lock (_gate)
        {
            _timers.Add(timer);
        }

        timer.Change(dueTime, period);
        return timer;
    }

    public void Advance(TimeSpan by)
    {
        TimeSpan target;
        lock (_gate)
        {
            target = _elapsed + by;
        }

        while (true)
        {
            ManualTimer? next;
            lock (_gate)
            {
                next = _timers.Where(timer => timer.DueAt <= target).MinBy(timer => timer.DueAt);
                if (next is null)
                {
                    _elapsed = target;
                    return;
                }

                if (next.DueAt > _elapsed)
                {
                    _elapsed = next.DueAt!.Value;
                }

                next.DueAt = next.Period > TimeSpan.Zero ? _elapsed + next.Period : null;
            }

            next.Fire();
        }
    }

    /// <summary>Fires the next timer, if it is due so soon; tells pauses from time-outs, so that these do not end because a thread was slow.</summary>
    public void AdvanceToNext(TimeSpan within)
    {
        TimeSpan? next;
        lock (_gate)
        {
            next = _timers.Min(timer => timer.DueAt) - _elapsed;
        }

        if (next <= within)
        {
            Advance(next.Value);
        }
    }

    private sealed class ManualTimer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(uint.MaxValue - 1L);

        public TimeSpan? DueAt { get; set; }

        public TimeSpan Period { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime > Longest || period > Longest)
            {
                throw new ArgumentOutOfRangeException(dueTime > Longest ? nameof(dueTime) : nameof(period), "The system's timers take no more either.");
            }

            lock (time._gate)
            {
                DueAt = dueTime < TimeSpan.Zero ? null : time._elapsed + dueTime;
                Period = period;
            }

            return true;
        }

        public void Dispose()
        {
            lock (time._gate)
            {
                time._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
