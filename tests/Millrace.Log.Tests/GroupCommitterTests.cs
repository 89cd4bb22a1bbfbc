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

    [Fact]
    public async Task Who_appends_syncs_by_itself_as_long_as_the_disk_is_quick()
    {
        LogHarness harness = LogHarness.WithPartition();
        var time = new SteppingTime();
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), time);
        Assert.False(IsSyncedHere(harness, mayBlock: true), "nothing is known of the disk yet");
        BecomesSyncedHere(harness);
        Assert.False(IsSyncedHere(harness, mayBlock: false));
        BecomesSyncedHere(harness);

        time.Step = TimeSpan.FromMilliseconds(2);
        Assert.True(IsSyncedHere(harness, mayBlock: true), "the last sync was quick");
        Assert.False(IsSyncedHere(harness, mayBlock: true), "the last sync was slow");
        time.Step = TimeSpan.Zero;
        BecomesSyncedHere(harness);
        await committer.DisposeAsync();
    }

    [Fact]
    public async Task What_is_held_goes_to_the_disk_together()
    {
        LogHarness harness = LogHarness.WithPartition();
        PartitionLog other = harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        var committer = new GroupCommitter(harness.LogDirectory, new GroupCommitterOptions(), TimeProvider.System);
        HeldSyncs held = new();
        harness.Log.Append(LogHarness.Batch(), AppendDurability.Disk, held: held);
        harness.Log.Append(LogHarness.Batch(), AppendDurability.Disk, held: held);
        other.Append(LogHarness.Batch(), AppendDurability.Disk, held: held);
        Assert.Equal([harness.Log, other], held.Logs.ToArray());
        Assert.Equal(Offset.Zero, harness.Log.SyncedOffset);
        harness.LogDirectory.Release(held, mayBlock: false);
        await LogDirectoryTests.Until(harness.Log, static log => log.SyncedOffset == new Offset(2));
        await LogDirectoryTests.Until(other, static log => log.SyncedOffset == new Offset(1));
        await committer.DisposeAsync();
    }

    private static void BecomesSyncedHere(LogHarness harness)
    {
        // A flusher that has told of its sync may be about to put its tools away: until then somebody is syncing.
        for (int attempt = 0; !IsSyncedHere(harness, mayBlock: true); attempt++)
        {
            Assert.True(attempt < 1000, "A flusher was asked each time.");
        }
    }

    /// <summary>Whether the thread that appends has synced, too. Waits until somebody has.</summary>
    private static bool IsSyncedHere(LogHarness harness, bool mayBlock)
    {
        int? syncer = null;
        using var isSynced = new ManualResetEventSlim();
        void Note(PartitionLog log)
        {
            if (log.SyncedOffset == log.LogEndOffset)
            {
                syncer = Environment.CurrentManagedThreadId;
                isSynced.Set();
            }
        }

        harness.Log.Progressed += Note;
        HeldSyncs held = new();
        harness.Log.Append(LogHarness.Batch(), AppendDurability.Disk, held: held);
        harness.LogDirectory.Release(held, mayBlock);
        Assert.True(isSynced.Wait(TimeSpan.FromSeconds(30)), "Nobody has synced.");
        harness.Log.Progressed -= Note;
        return syncer == Environment.CurrentManagedThreadId;
    }

    /// <summary>Time that goes on by a step each time that somebody looks at it; its timers never fire.</summary>
    private sealed class SteppingTime : TimeProvider
    {
        private long _now;

        public TimeSpan Step { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Interlocked.Add(ref _now, Step.Ticks);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new NoTimer();
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
