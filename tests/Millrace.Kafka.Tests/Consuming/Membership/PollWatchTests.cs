namespace Millrace.Kafka.Tests;

public sealed class PollWatchTests
{
    [Fact]
    public void A_poll_that_begins_while_the_application_is_found_missing_is_either_told_so_or_in_time()
    {
        var time = new InterruptedTime();
        var watch = new PollWatch(TimeSpan.FromMinutes(5), time);
        for (int i = 0; i < 2; i++)
        {
            watch.HandedOut();
            time.Elapsed += TimeSpan.FromMinutes(6);
            bool hasToReturn = false;
            time.OnGetTimestamp = () => hasToReturn = watch.Polled();

            // Who is given up, and is not told so by its poll, waits in that for ever.
            Assert.Equal(watch.Look() is not null, hasToReturn);
            watch.HandedOut();
            time.Elapsed += TimeSpan.FromMinutes(6);
            Assert.Equal(TimeSpan.FromMinutes(6), watch.Look());
            Assert.Null(watch.Look());
            Assert.True(watch.Polled());
            Assert.False(watch.Polled());
        }
    }

    /// <summary>A clock at which something happens while it is looked at, once.</summary>
    private sealed class InterruptedTime : TimeProvider
    {
        public TimeSpan Elapsed { get; set; } = TimeSpan.FromSeconds(1);

        public Action? OnGetTimestamp { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp()
        {
            Action? happens = OnGetTimestamp;
            OnGetTimestamp = null;
            happens?.Invoke();
            return Elapsed.Ticks;
        }
    }
}
