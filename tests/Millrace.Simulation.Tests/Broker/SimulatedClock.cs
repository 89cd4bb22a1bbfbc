namespace Millrace.Simulation.Tests;

/// <summary>A clock that the simulation moves. A timer fires on the simulated thread that has set it.</summary>
internal sealed class SimulatedClock : TimeProvider
{
    // With timers that were set anew or disposed meanwhile, until it is their turn.
    private readonly PriorityQueue<(SimulatedTimer Timer, long Number), (TimeSpan Due, long Number)> _timers = new();
    private TimeSpan _elapsed;
    private long _lastNumber;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>How long it is until the next timer is due.</summary>
    public TimeSpan? UntilNext => Peek() is { } timer ? timer.Due - _elapsed : null;

    public override long GetTimestamp() => _elapsed.Ticks;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch + TimeSpan.FromDays(20_000) + _elapsed;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        Require.That(SynchronizationContext.Current is SimulatedThread, "a timer is set by something that is simulated");
        var timer = new SimulatedTimer(this, (SimulatedThread)SynchronizationContext.Current!, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Completes after a while, on the simulated thread that asks.</summary>
    public Task PauseAsync(TimeSpan time)
    {
        TaskCompletionSource over = new(TaskCreationOptions.RunContinuationsAsynchronously);
        CreateTimer(_ => over.SetResult(), null, time, Timeout.InfiniteTimeSpan);
        return over.Task;
    }

    public void Advance(TimeSpan by)
    {
        TimeSpan target = _elapsed + by;
        while (Peek() is { } next && next.Due <= target)
        {
            _elapsed = next.Due > _elapsed ? next.Due : _elapsed;
            next.Fire();
        }

        _elapsed = target;
    }

    /// <summary>Forgets the timers of a machine that is down.</summary>
    public void Forget(SimulatedThread thread)
    {
        foreach (((SimulatedTimer timer, _), _) in _timers.UnorderedItems)
        {
            if (timer.Thread == thread)
            {
                timer.Dispose();
            }
        }
    }

    /// <summary>The timer that is due next.</summary>
    private SimulatedTimer? Peek()
    {
        while (_timers.TryPeek(out (SimulatedTimer Timer, long Number) next, out _))
        {
            if (next.Timer.Number == next.Number)
            {
                return next.Timer;
            }

            _timers.Dequeue();
        }

        return null;
    }

    private sealed class SimulatedTimer(SimulatedClock clock, SimulatedThread thread, Action callback) : ITimer
    {
        private TimeSpan _period;

        public SimulatedThread Thread => thread;

        public TimeSpan Due { get; private set; }

        /// <summary>0 while it is not set.</summary>
        public long Number { get; private set; }

        public void Fire()
        {
            Number = 0;
            if (_period > TimeSpan.Zero)
            {
                Set(clock._elapsed + _period);
            }

            thread.Post(static action => ((Action)action!)(), callback);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Number = 0;
            _period = period;
            if (dueTime >= TimeSpan.Zero)
            {
                Set(clock._elapsed + dueTime);
            }

            return true;
        }

        public void Dispose() => Number = 0;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Set(TimeSpan due)
        {
            Due = due;
            Number = ++clock._lastNumber;
            clock._timers.Enqueue((this, Number), (due, Number));
        }
    }
}
