using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

public sealed class PartitionWaitsTests
{
    private static readonly TopicPartition Orders = new("orders", 0);
    private static readonly TopicPartition Stock = new("stock", 1);

    private readonly ManualTime _time = new();
    private readonly PartitionWaits _waits;

    public PartitionWaitsTests() => _waits = new PartitionWaits(_time);

    [Fact]
    public async Task What_is_there_is_not_waited_for()
    {
        ValueTask<WaitOutcome> wait = _waits.WaitAsync(new TestWait { IsThere = () => true }, TimeSpan.FromSeconds(1), default);

        Assert.True(wait.IsCompletedSuccessfully);
        Assert.Equal(WaitOutcome.Satisfied, await wait);
        Assert.Equal(0, _waits.WatchedPartitionCount);
    }

    [Fact]
    public async Task Without_time_there_is_no_wait()
    {
        Assert.Equal(WaitOutcome.TimedOut, await _waits.WaitAsync(new TestWait(), TimeSpan.Zero, default));
    }

    [Fact]
    public async Task Progress_of_any_watched_partition_ends_the_wait_once_it_satisfies()
    {
        bool isThere = false;
        Task<WaitOutcome> wait = _waits.WaitAsync(new TestWait { IsThere = () => isThere }, TimeSpan.FromSeconds(1), default).AsTask();

        _waits.Progressed(Orders);
        Assert.False(wait.IsCompleted);

        isThere = true;
        _waits.Progressed(new TopicPartition("other", 0));
        Assert.False(wait.IsCompleted);

        _waits.Progressed(Stock);
        Assert.Equal(WaitOutcome.Satisfied, await wait.WaitAsync(TestClient.Patience));
        Assert.Equal(0, _waits.WatchedPartitionCount);
    }

    [Fact]
    public async Task A_record_that_lands_between_the_first_look_and_the_registration_is_not_missed()
    {
        // The first look finds nothing; then the record lands and reports its progress, before the wait is registered.
        int looks = 0;
        var wait = new TestWait();
        wait.IsThere = () =>
        {
            if (++looks > 1)
            {
                return true;
            }

            _waits.Progressed(Orders);
            return false;
        };

        Task<WaitOutcome> outcome = _waits.WaitAsync(wait, TimeSpan.FromHours(1), default).AsTask();

        Assert.Equal(WaitOutcome.Satisfied, await outcome.WaitAsync(TestClient.Patience));
    }

    [Fact]
    public async Task The_deadline_ends_the_wait_and_leaves_nothing_behind()
    {
        Task<WaitOutcome> wait = _waits.WaitAsync(new TestWait(), TimeSpan.FromSeconds(5), default).AsTask();

        _time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(wait.IsCompleted);

        _time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal(WaitOutcome.TimedOut, await wait.WaitAsync(TestClient.Patience));
        Assert.Equal(0, _waits.WatchedPartitionCount);
        Assert.Equal(0, _time.PendingTimerCount);
    }

    [Fact]
    public async Task The_end_of_the_connection_ends_the_wait()
    {
        using var aborted = new CancellationTokenSource();
        Task<WaitOutcome> wait = _waits.WaitAsync(new TestWait(), TimeSpan.FromSeconds(5), aborted.Token).AsTask();

        await aborted.CancelAsync();

        Assert.Equal(WaitOutcome.Aborted, await wait.WaitAsync(TestClient.Patience));
        Assert.Equal(0, _waits.WatchedPartitionCount);
    }

    [Fact]
    public async Task A_stop_ends_long_polls_and_lets_appends_finish()
    {
        bool isOnDisk = false;
        Task<WaitOutcome> poll = _waits.WaitAsync(new TestWait(), TimeSpan.FromHours(1), default).AsTask();
        Task<WaitOutcome> append = _waits.WaitAsync(
            new TestWait { StopsEarly = false, IsThere = () => isOnDisk }, TimeSpan.FromHours(1), default).AsTask();

        _waits.Stop();

        Assert.Equal(WaitOutcome.Stopping, await poll.WaitAsync(TestClient.Patience));
        Assert.False(append.IsCompleted);
        Assert.Equal(WaitOutcome.Stopping, await _waits.WaitAsync(new TestWait(), TimeSpan.FromHours(1), default));

        isOnDisk = true;
        _waits.Progressed(Orders);
        Assert.Equal(WaitOutcome.Satisfied, await append.WaitAsync(TestClient.Patience));
    }

    [Fact]
    public void A_wait_among_many_for_one_partition_ends_without_a_look_at_the_others()
    {
        CountedWait[] waits = [.. Enumerable.Range(0, 1000).Select(static _ => new CountedWait())];
        WaitRegistry registry = new();
        Array.ForEach(waits, registry.Add);
        Array.Reverse(waits);
        Array.ForEach(waits, registry.Remove);

        Assert.Equal(0, registry.WatchedPartitionCount);
        Assert.InRange(waits.Sum(static wait => wait.ComparisonCount), 0, 2 * waits.Length);
    }

    private sealed class CountedWait : PartitionWait
    {
        public int ComparisonCount { get; private set; }

        public override IReadOnlyList<TopicPartition> Partitions => [Orders];

        public override bool EndsAtStop => true;

        public override bool IsSatisfied() => false;

        public override int GetHashCode() => base.GetHashCode();

        public override bool Equals(object? obj)
        {
            ComparisonCount++;
            return ReferenceEquals(this, obj);
        }
    }

    private sealed class TestWait : PartitionWait
    {
        public Func<bool> IsThere { get; set; } = () => false;

        public bool StopsEarly { get; init; } = true;

        public override IReadOnlyList<TopicPartition> Partitions { get; } = [Orders, Stock];

        public override bool EndsAtStop => StopsEarly;

        public override bool IsSatisfied() => IsThere();
    }
}
