namespace Millrace.Broker.Tests;

public sealed class WakeUpsTests
{
    private readonly ManualTime _time = new();
    private readonly List<(string Name, TimeSpan At)> _woken = [];

    [Fact]
    public void Sleepers_wake_in_the_order_of_their_moments_by_one_timer()
    {
        using WakeUps<string> wakeUps = Create();
        wakeUps.Set("late", TimeSpan.FromSeconds(5));
        wakeUps.Set("early", TimeSpan.FromSeconds(2));
        wakeUps.Set("middle", TimeSpan.FromSeconds(3));
        Assert.Equal(1, _time.PendingTimerCount);
        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal([("early", TimeSpan.FromSeconds(2)), ("middle", TimeSpan.FromSeconds(3))], _woken);
        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal("late", _woken[^1].Name);
        Assert.Equal(0, wakeUps.Count);
        Assert.Equal(0, _time.PendingTimerCount);
    }

    [Fact]
    public void A_new_moment_takes_the_place_of_the_old_one()
    {
        using WakeUps<string> wakeUps = Create();
        wakeUps.Set("a", TimeSpan.FromSeconds(2));
        wakeUps.Set("a", TimeSpan.FromSeconds(6));
        wakeUps.Set("b", TimeSpan.FromSeconds(6));
        wakeUps.Set("b", TimeSpan.FromSeconds(1));
        wakeUps.Set("c", TimeSpan.FromSeconds(3));
        wakeUps.Set("c", null);
        Assert.Equal(2, wakeUps.Count);
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal([("b", TimeSpan.FromSeconds(1)), ("a", TimeSpan.FromSeconds(6))], _woken);
    }

    [Fact]
    public void A_moment_that_has_passed_wakes_at_once_and_fractions_of_a_millisecond_are_not_lost()
    {
        using WakeUps<string> wakeUps = Create();
        _time.Advance(TimeSpan.FromSeconds(1));
        wakeUps.Set("past", TimeSpan.FromMilliseconds(3));
        wakeUps.Set("fraction", TimeSpan.FromSeconds(1) + TimeSpan.FromTicks(15_001));
        _time.Advance(TimeSpan.Zero);
        Assert.Equal("past", Assert.Single(_woken).Name);
        _time.Advance(TimeSpan.FromMilliseconds(2));
        Assert.Equal("fraction", _woken[^1].Name);
    }

    [Fact]
    public void A_moment_that_is_further_away_than_a_timer_can_wait_comes_all_the_same()
    {
        using WakeUps<string> ofSystem = new(TimeProvider.System, static _ => { });
        ofSystem.Set("a", TimeSpan.FromDays(365));
        using WakeUps<string> wakeUps = Create();
        wakeUps.Set("b", TimeSpan.FromDays(365));
        _time.Advance(TimeSpan.FromDays(364));
        Assert.Empty(_woken);
        _time.Advance(TimeSpan.FromDays(2));
        Assert.Equal([("b", TimeSpan.FromDays(365))], _woken);
    }

    [Fact]
    public void Nobody_wakes_after_the_end()
    {
        WakeUps<string> wakeUps = Create();
        wakeUps.Set("a", TimeSpan.FromSeconds(1));
        wakeUps.Dispose();
        wakeUps.Set("b", TimeSpan.FromSeconds(1));
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Empty(_woken);
    }

    private WakeUps<string> Create()
    {
        WakeUps<string>? wakeUps = null;
        wakeUps = new WakeUps<string>(_time, name => _woken.Add((name, wakeUps!.Now)));
        return wakeUps;
    }
}
