using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>Syncs that a topic's settings ask for: flush.messages and flush.ms.</summary>
public class FlushingTests
{
    [Fact]
    public void The_append_by_which_flush_messages_are_not_on_the_disk_waits_for_a_sync()
    {
        LogHarness harness = WithTopic("flush.messages", "3");
        Assert.Equal([false, false], Append(harness, 2));
        harness.Sync();
        Assert.Equal([false, false], Append(harness, 2));
        Assert.False(harness.Log.IsSyncQueued);

        Assert.Equal([true], Append(harness, 1));
        Assert.True(harness.Log.IsSyncQueued);
        Assert.Equal(new Offset(4), harness.Log.HighWatermark);
        harness.Sync();
        Assert.Equal(new Offset(5), harness.Log.HighWatermark);
    }

    [Fact]
    public void The_count_begins_anew_with_the_sync_that_was_asked_for_and_not_when_it_is_done()
    {
        LogHarness harness = WithTopic("flush.messages", "3");
        Assert.Equal([false, false, true, false, false, true], Append(harness, 6));
    }

    [Fact]
    public void A_batch_that_was_sent_again_waits_as_it_did_at_first()
    {
        LogHarness harness = WithTopic("flush.messages", "2");
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 0));
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 1));
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 2));
        Assert.True(Assert.IsType<AppendResult.Duplicate>(harness.Append(LogHarness.Batch(producerId: 7, sequence: 1))).IsFlushed);
        Assert.False(Assert.IsType<AppendResult.Duplicate>(harness.Append(LogHarness.Batch(producerId: 7, sequence: 2))).IsFlushed);
    }

    [Fact]
    public async Task What_waits_in_the_page_cache_for_flush_ms_is_synced()
    {
        LogHarness harness = WithTopic("flush.ms", "5000");
        await using var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), harness.Time);
        harness.Time.Advance(TimeSpan.FromMinutes(1));
        harness.AppendMany(1);
        harness.Time.Advance(TimeSpan.FromSeconds(4));
        harness.AppendMany(1);
        Assert.False(harness.Log.IsSyncOverdue);

        // From the first record on that waits.
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        await LogDirectoryTests.Until(harness.Log, static log => log.SyncedOffset == new Offset(2));
        harness.Time.Advance(TimeSpan.FromMinutes(1));
        Assert.False(harness.Log.IsSyncOverdue);
    }

    [Fact]
    public void What_comes_while_a_sync_runs_waits_for_flush_ms_of_its_own()
    {
        LogHarness harness = WithTopic("flush.ms", "5000");
        harness.AppendMany(1);
        harness.Time.Advance(TimeSpan.FromSeconds(4));
        SyncWork work = harness.Log.BeginSync()!;
        harness.AppendMany(1);
        work.Run();
        harness.Log.EndSync(work, null);
        harness.Time.Advance(TimeSpan.FromSeconds(4));
        Assert.False(harness.Log.IsSyncOverdue);
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(harness.Log.IsSyncOverdue);
    }

    private static LogHarness WithTopic(string setting, string value)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string> { [setting] = value });
        return harness;
    }

    /// <summary>Whether each of some appends has to be on the disk.</summary>
    private static IEnumerable<bool> Append(LogHarness harness, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => Assert.IsType<AppendResult.Appended>(harness.Append(LogHarness.Batch())).IsFlushed)];
}
