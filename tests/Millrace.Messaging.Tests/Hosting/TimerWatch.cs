namespace Millrace.Messaging.Tests;

/// <summary>The system's clock, which tells when somebody sets a timer of one length.</summary>
internal sealed class TimerWatch(TimeSpan dueTime) : TimeProvider
{
    private TaskCompletionSource _set = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the next such timer is set.</summary>
    public Task TimerSet => _set.Task;

    /// <summary>Forgets the timers that were set so far.</summary>
    public void Rearm() => _set = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan due, TimeSpan period)
    {
        Watch(due);
        return new WatchedTimer(this, base.CreateTimer(callback, state, due, period));
    }

    private void Watch(TimeSpan due)
    {
        if (due == dueTime) _set.TrySetResult();
    }

    private sealed class WatchedTimer(TimerWatch watch, ITimer timer) : ITimer
    {
        public bool Change(TimeSpan due, TimeSpan period)
        {
            watch.Watch(due);
            return timer.Change(due, period);
        }

        public void Dispose() => timer.Dispose();

        public ValueTask DisposeAsync() => timer.DisposeAsync();
    }
}
