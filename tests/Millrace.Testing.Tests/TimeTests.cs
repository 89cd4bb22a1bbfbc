namespace Millrace.Testing.Tests;

public sealed class TimeTests
{
    private readonly VirtualTime _time = new(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly List<string> _fired = [];

    [Fact]
    public void Timers_fire_in_the_order_in_which_they_are_due_each_at_its_own_time()
    {
        Set("late", 3);
        Set("early", 1);
        Set("second of two", 2);
        Set("third of two", 2);

        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal(["early at 1", "second of two at 2", "third of two at 2", "late at 3"], _fired);
        Assert.Equal(10, Seconds());
    }

    [Fact]
    public void A_timer_that_is_set_by_another_one_fires_on_the_same_way()
    {
        _time.CreateTimer(_ => Set("child", 2), null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);

        _time.Advance(TimeSpan.FromSeconds(2.9));
        Assert.Empty(_fired);
        _time.Advance(TimeSpan.FromSeconds(0.1));

        Assert.Equal(["child at 3"], _fired);
    }

    [Fact]
    public void A_periodic_timer_fires_at_every_period_until_it_is_disposed()
    {
        ITimer timer = _time.CreateTimer(_ => _fired.Add($"tick at {Seconds()}"), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));

        _time.Advance(TimeSpan.FromSeconds(5));
        timer.Dispose();
        _time.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(["tick at 1", "tick at 3", "tick at 5"], _fired);
        Assert.Null(_time.NextDue);
    }

    [Fact]
    public void A_timer_that_is_changed_forgets_when_it_was_due()
    {
        ITimer timer = Set("moved", 1);
        timer.Change(TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);

        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.Empty(_fired);
        Assert.Equal(_time.GetUtcNow() + TimeSpan.FromSeconds(1), _time.NextDue);
        timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.Empty(_fired);
    }

    [Fact]
    public async Task A_timer_that_is_due_at_once_fires_without_the_clock_being_moved()
    {
        TaskCompletionSource fired = new(TaskCreationOptions.RunContinuationsAsynchronously);

        await using ITimer timer = _time.CreateTimer(_ => fired.SetResult(), null, TimeSpan.Zero, Timeout.InfiniteTimeSpan);

        await fired.Task.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(0, Seconds());
    }

    [Fact]
    public async Task Waits_and_time_outs_follow_the_clock()
    {
        Task wait = new TaskCompletionSource().Task.WaitAsync(TimeSpan.FromMinutes(1), _time);
        using CancellationTokenSource timeout = new(TimeSpan.FromMinutes(2), _time);

        _time.Advance(TimeSpan.FromMinutes(1));
        await Assert.ThrowsAsync<TimeoutException>(() => wait);
        Assert.False(timeout.IsCancellationRequested);
        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.True(timeout.IsCancellationRequested);
    }

    [Fact]
    public void Time_does_not_go_back() => Assert.Throws<ArgumentOutOfRangeException>(() => _time.Advance(TimeSpan.FromTicks(-1)));

    [Fact]
    public async Task Nothing_waits_for_a_machine_that_is_down()
    {
        MachineTime machine = new(TimeProvider.System, TimeProvider.System);
        Task before = WaitForADayAsync();
        long started = machine.GetTimestamp();

        machine.End();

        await Assert.ThrowsAsync<TimeoutException>(() => before);
        await Assert.ThrowsAsync<TimeoutException>(WaitForADayAsync);
        Assert.True(machine.GetElapsedTime(started) > TimeSpan.FromDays(1));

        Task WaitForADayAsync() => new TaskCompletionSource().Task.WaitAsync(TimeSpan.FromDays(1), machine);
    }

    private ITimer Set(string name, double seconds) =>
        _time.CreateTimer(_ => _fired.Add($"{name} at {Seconds()}"), null, TimeSpan.FromSeconds(seconds), Timeout.InfiniteTimeSpan);

    private double Seconds() => TimeSpan.FromTicks(_time.GetTimestamp()).TotalSeconds;
}
