using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class GroupCommitterTests
{
    [Fact]
    public async Task Appends_for_the_disk_of_many_threads_are_synced_without_being_asked_for()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 4000);
        PartitionLog log = harness.Log;
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions { FlusherThreadCount = 2 }, TimeProvider.System);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => harness.AppendMany(100, AppendDurability.Disk))));
        await LogDirectoryTests.Until(log, static log => log.SyncedOffset == new Offset(400));
        Assert.Equal(new Offset(400), log.HighWatermark);
        await committer.DisposeAsync();
    }

    [Fact]
    public async Task Data_in_the_page_cache_is_synced_on_request()
    {
        LogHarness harness = LogHarness.WithPartition();
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), TimeProvider.System);
        harness.AppendMany(3);
        Assert.Equal(Offset.Zero, harness.Log.SyncedOffset);
        committer.Request(harness.Log);
        await LogDirectoryTests.Until(harness.Log, static log => log.SyncedOffset == new Offset(3));
        await committer.DisposeAsync();
    }

    [Fact]
    public async Task What_wanted_a_sync_before_the_committer_was_there_gets_it()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(3, AppendDurability.Disk);
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), TimeProvider.System);
        await LogDirectoryTests.Until(harness.Log, static log => log.SyncedOffset == new Offset(3));
        await committer.DisposeAsync();
    }

    [Fact]
    public async Task A_complete_segment_is_synced_and_its_recovery_point_written()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 400);
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), new StoppedTime());
        harness.AppendMany(3);
        Assert.Equal(2, harness.Files().Count(static file => file.EndsWith(".log", StringComparison.Ordinal)));
        await committer.DisposeAsync();
        Assert.NotEqual("0\n1\norders 0 0\n", harness.ReadText("/data/recovery-point-offset-checkpoint"));
    }

    [Fact]
    public async Task Recovery_points_that_moved_are_written_when_the_interval_is_over()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.CommitJournalByteCount = 0);
        var time = new StoppedTime();
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), time);
        harness.AppendMany(3, AppendDurability.Disk);
        await LogDirectoryTests.Until(harness.Log, static log => log.SyncedOffset == new Offset(3));
        Assert.True(harness.LogDirectory.AreRecoveryPointsStale);
        Assert.Equal("0\n0\n", harness.ReadText("/data/recovery-point-offset-checkpoint"));
        time.Tick();
        time.Tick();
        await committer.DisposeAsync();
        Assert.False(harness.LogDirectory.AreRecoveryPointsStale);
        Assert.Equal("0\n1\norders 0 3\n", harness.ReadText("/data/recovery-point-offset-checkpoint"));
    }

    [Fact]
    public async Task A_sync_that_fails_takes_its_partition_offline_and_the_threads_go_on()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.CommitJournalByteCount = 0);
        PartitionLog other = harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions { FlusherThreadCount = 1 }, TimeProvider.System);
        harness.Storage.FailNext(SimulatedOperation.SyncData, "orders-0/00000000000000000000.log");
        harness.AppendMany(1, AppendDurability.Disk);
        await LogDirectoryTests.Until(harness.Log, static log => !log.IsOnline);
        other.Append(LogHarness.Batch(), AppendDurability.Disk);
        await LogDirectoryTests.Until(other, static log => log.SyncedOffset == new Offset(1));
        await committer.DisposeAsync();
    }

    [Fact]
    public async Task Appends_to_many_partitions_are_acknowledged_and_end_up_in_their_files()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.CommitJournalByteCount = LogDirectoryOptions.LeastCommitJournalByteCount);
        PartitionLog[] logs = [.. Enumerable.Range(0, 8).Select(number => harness.LogDirectory.Create(new TopicPartition("orders", number), LogHarness.OrdersId))];
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), TimeProvider.System);
        await Task.WhenAll(logs.Select(static log => Task.Run(async () =>
        {
            for (int number = 1; number <= 100; number++)
            {
                log.Append(LogHarness.Batch(), AppendDurability.Disk);
                await LogDirectoryTests.Until(log, log => log.SyncedOffset == new Offset(number));
            }
        })));
        await committer.DisposeAsync();
        Assert.True(harness.LogDirectory.Close());
        harness.LosePower();
        harness.Open();
        Assert.All(harness.LogDirectory.Partitions, static log => Assert.Equal(new Offset(100), log.LogEndOffset));
    }

    /// <summary>Time that stands still; its timer fires when it is told to.</summary>
    private sealed class StoppedTime : TimeProvider
    {
        private Action? _tick;

        public void Tick() => _tick!();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _tick = () => callback(state);
            return new NoTimer();
        }

        private sealed class NoTimer : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => default;
        }
    }
}
