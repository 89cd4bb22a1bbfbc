namespace Millrace.Log.Tests.Journal;

public class CommitQueueTests
{
    private readonly JournalHarness _harness = new();
    private readonly CommitQueue _queue;

    public CommitQueueTests() => _queue = new CommitQueue(_harness.Log.LogDirectory, maxIdleWorkCount: 1);

    [Fact]
    public void What_comes_while_a_round_runs_is_the_next_one()
    {
        Add(_harness.Orders);
        RoundTask first = Assert.IsType<RoundTask>(_queue.TryTake());
        Begin(first);
        Add(_harness.Second);
        Add(_harness.Orders);
        Assert.Null(_queue.TryTake());
        End(first);
        JournalHarness.AssertOffsets(_harness.Orders, synced: 1, stored: 0);

        // Its second append asked again when the sync ended.
        _queue.Add(_harness.Orders);
        RoundTask round = Assert.IsType<RoundTask>(_queue.TryTake());
        Begin(round);
        End(round);
        JournalHarness.AssertOffsets(_harness.Orders, synced: 2, stored: 0);
        JournalHarness.AssertOffsets(_harness.Second, synced: 1, stored: 0);
        Assert.False(_queue.HasWork);
    }

    [Fact]
    public void A_large_write_holds_nobody_up()
    {
        JournalHarness.Append(_harness.Orders, valueByteCount: 5000);
        _queue.Add(_harness.Orders);
        RoundTask empty = Assert.IsType<RoundTask>(_queue.TryTake());
        Assert.False(empty.TryBegin());
        Assert.Equal(1, _queue.Begun(empty));
        _queue.Ended(empty);
        FilesTask large = Assert.IsType<FilesTask>(_queue.TryTake());
        Assert.Equal(FilesReason.NotForJournal, large.Reason);
        Begin(large);
        Add(_harness.Second);
        Assert.NotNull(_queue.TryTake());
    }

    [Fact]
    public void Those_that_a_round_cannot_take_are_synced_one_by_one()
    {
        JournalHarness.Append(_harness.Orders, valueByteCount: 5000);
        _queue.Add(_harness.Orders);
        Add(_harness.Second);
        RoundTask round = Assert.IsType<RoundTask>(_queue.TryTake());
        Assert.True(round.TryBegin());
        Assert.Equal(1, _queue.Begun(round));
        Assert.Same(_harness.Orders, Assert.IsType<FilesTask>(_queue.TryTake()).Log);
    }

    [Fact]
    public void What_nobody_waits_for_comes_last_and_leaves_a_flusher_free()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Log.Time.Advance(TimeSpan.FromMinutes(1));
        _harness.Journal.StoreOld();
        _queue.AddHousekeeping();
        Add(_harness.Orders);
        Assert.IsType<RoundTask>(_queue.TryTake());
        Assert.IsType<HousekeepingTask>(_queue.TryTake());
        FilesTask stored = Assert.IsType<FilesTask>(_queue.TryTake());
        Assert.Equal(FilesReason.Journaled, stored.Reason);
        Assert.Null(_queue.TryTake());
        _queue.Ended(stored);
        Assert.Equal(FilesReason.Journaled, Assert.IsType<FilesTask>(_queue.TryTake()).Reason);
    }

    private void Add(PartitionLog log)
    {
        JournalHarness.Append(log);
        _queue.Add(log);
    }

    private void Begin(CommitTask task)
    {
        Assert.True(task.TryBegin());
        _queue.Begun(task);
    }

    private void End(CommitTask task)
    {
        task.Run();
        task.End();
        _queue.Ended(task);
    }
}
