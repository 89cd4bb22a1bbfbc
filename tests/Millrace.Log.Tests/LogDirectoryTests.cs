using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public sealed class LogDirectoryTests : IDisposable
{
    private readonly DirectoryInfo _temporary = Directory.CreateTempSubdirectory("millrace-log-");

    public void Dispose() => _temporary.Delete(recursive: true);

    [Fact]
    public void A_new_directory_and_partition_have_the_files_that_kafka_has()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.LogDirectory.Close();
        harness.Kill();
        Assert.Equal(
            [
                ".kafka_cleanshutdown", ".lock", "log-start-offset-checkpoint", "meta.properties", "orders-0",
                "recovery-point-offset-checkpoint", "replication-offset-checkpoint",
            ],
            harness.Storage.List(LogHarness.Root).Select(static entry => entry.Name));
        Assert.Equal(
            [
                "00000000000000000000.index", "00000000000000000000.log", "00000000000000000000.timeindex", "00000000000000000000.txnindex",
                "00000000000000000002.snapshot", "leader-epoch-checkpoint", "partition.metadata",
            ],
            harness.Files());
        Assert.Equal("0\n1\norders 0 2\n", harness.ReadText("/data/recovery-point-offset-checkpoint"));
        Assert.Equal("0\n1\norders 0 2\n", harness.ReadText("/data/replication-offset-checkpoint"));
        Assert.Equal("0\n1\norders 0 0\n", harness.ReadText("/data/log-start-offset-checkpoint"));
        Assert.Equal("0\n1\n0 0\n", harness.ReadText($"{LogHarness.Directory}/leader-epoch-checkpoint"));
        Assert.Equal("version: 0\ntopic_id: ABEiM0RVZneImaq7zN3u_w\n", harness.ReadText($"{LogHarness.Directory}/partition.metadata"));
        Assert.Equal("{\"version\":0,\"brokerEpoch\":-1}", harness.ReadText("/data/.kafka_cleanshutdown"));
    }

    [Fact]
    public void After_a_clean_stop_everything_is_as_it_was_and_the_marker_is_gone()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(3, AppendDurability.Disk);
        string clusterId = harness.LogDirectory.ClusterId;
        harness.LogDirectory.Close();
        harness.KillAndOpen();
        Assert.True(harness.LogDirectory.Recovery.WasCleanStop);
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
        Assert.Equal(clusterId, harness.LogDirectory.ClusterId);
        Assert.Equal(new Offset(3), harness.Log.HighWatermark);
        Assert.Equal(0, harness.Log.LeaderEpoch);
        Assert.Equal(LogHarness.OrdersId, harness.Log.TopicId);
        Assert.False(harness.Storage.FileExists("/data/.kafka_cleanshutdown"));
        harness.KillAndOpen();
        Assert.False(harness.LogDirectory.Recovery.WasCleanStop);
        Assert.Equal(1, harness.Log.LeaderEpoch);
    }

    [Fact]
    public void A_clean_stop_reads_no_checksum_and_a_crash_reads_those_of_the_segment_of_the_recovery_point()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.LogDirectory.Close();
        harness.Storage.FlipBit(LogHarness.FirstSegment, 100);
        harness.KillAndOpen();
        Assert.True(harness.Log.IsOnline);
        harness.KillAndOpen();
        Assert.False(harness.Log.IsOnline);
    }

    [Fact]
    public void After_the_close_nothing_is_appended_and_nothing_read()
    {
        LogHarness harness = LogHarness.WithPartition();
        PartitionLog log = harness.Log;
        harness.AppendMany(1);
        harness.LogDirectory.Close();
        harness.LogDirectory.Close();
        Assert.IsType<AppendResult.Rejected>(log.Append(LogHarness.Batch(), AppendDurability.Disk));
        Assert.IsType<ReadResult.Offline>(log.Read(Offset.Zero, 100, atLeastOneBatch: true, log.HighWatermark));
        Assert.Throws<ObjectDisposedException>(() => harness.LogDirectory.Create(new TopicPartition("a", 0), Guid.Empty));
    }

    [Fact]
    public void After_the_directory_is_let_go_no_recovery_points_are_written_into_it()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(3);
        harness.Sync();
        harness.LogDirectory.Dispose();
        long operations = harness.Storage.OperationCount;

        // As a flusher does that a stop like a crash finds at work. The next owner may be writing the same files.
        harness.LogDirectory.WriteRecoveryPoints();

        Assert.Equal(operations, harness.Storage.OperationCount);
    }

    [Fact]
    public void Creating_what_is_there_returns_it()
    {
        LogHarness harness = LogHarness.WithPartition();
        Assert.Same(harness.Log, harness.LogDirectory.Create(LogHarness.Orders, Guid.Empty));
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("a b")]
    public void A_topic_whose_name_is_no_file_name_is_refused(string topic)
    {
        LogHarness harness = LogHarness.WithPartition();
        Assert.Throws<ArgumentException>(() => harness.LogDirectory.Create(new TopicPartition(topic, 0), Guid.Empty));
    }

    [Fact]
    public void A_directory_with_other_files_is_refused_and_left_alone()
    {
        File.WriteAllText(Path("thesis.txt"), "");
        LogDirectoryException exception = Assert.Throws<LogDirectoryException>(() => Open());
        Assert.Equal(LogDirectoryFailure.Foreign, exception.Failure);
        Assert.Contains("'thesis.txt'", exception.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Path("meta.properties")));
    }

    [Theory]
    [InlineData("version=1\nnode.id=1\ncluster.id=x\n", LogDirectoryFailure.Foreign)]
    [InlineData("version=1\ncluster.id=x\ndirectory.id=ABEiM0RVZneImaq7zN3u_w\nmillrace.format=2\n", LogDirectoryFailure.UnsupportedVersion)]
    [InlineData("millrace.format=1\n", LogDirectoryFailure.Foreign)]
    [InlineData("", LogDirectoryFailure.Foreign)]
    public void Properties_of_another_program_or_version_are_refused(string content, LogDirectoryFailure expected)
    {
        File.WriteAllText(Path("meta.properties"), content);
        Assert.Equal(expected, Assert.Throws<LogDirectoryException>(() => Open()).Failure);
    }

    [Fact]
    public void A_directory_that_is_a_file_is_refused()
    {
        File.WriteAllText(Path("file"), "");
        LogDirectoryException exception = Assert.Throws<LogDirectoryException>(() => Open("file"));
        Assert.Equal(LogDirectoryFailure.NotWritable, exception.Failure);
        Assert.Contains(Path("file"), exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_directory_that_fails_while_it_is_opened_is_let_go()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.Kill();
        harness.Storage.FailNext(SimulatedOperation.Rename, "recovery-point-offset-checkpoint.tmp");
        Assert.Equal(LogDirectoryFailure.NotWritable, Assert.Throws<LogDirectoryException>(harness.Open).Failure);
        harness.Open();
    }

    [Theory]
    [InlineData(SimulatedCrashKind.ProcessKill)]
    [InlineData(SimulatedCrashKind.PowerLoss)]
    public void A_partition_whose_creation_the_disk_has_refused_is_not_there_after_the_next_start(SimulatedCrashKind crash)
    {
        LogHarness harness = LogHarness.WithPartition();
        var refused = new TopicPartition("orders", 4);
        harness.Storage.FailNext(SimulatedOperation.SyncDirectory, LogHarness.Root);
        Assert.Throws<IOException>(() => harness.LogDirectory.Create(refused, LogHarness.OrdersId));
        harness.Crash(crash);
        harness.Open();
        Assert.False(harness.LogDirectory.TryGet(refused, out _));
        Assert.True(harness.Log.IsOnline);
        harness.LogDirectory.Create(refused, LogHarness.OrdersId);
        harness.KillAndOpen();
        Assert.True(harness.LogDirectory.TryGet(refused, out _));
    }

    [Theory]
    [InlineData(SimulatedOperation.List)]
    [InlineData(SimulatedOperation.DeleteDirectory)]
    public void No_partition_is_made_of_an_interrupted_creation_that_a_start_cannot_take_away(SimulatedOperation operation)
    {
        LogHarness harness = LogHarness.WithPartition();
        var refused = new TopicPartition("orders", 4);
        harness.Storage.FailNext(SimulatedOperation.Create, "partition.metadata.tmp");
        Assert.Throws<IOException>(() => harness.LogDirectory.Create(refused, LogHarness.OrdersId));
        harness.Crash(SimulatedCrashKind.ProcessKill);
        harness.Storage.FailNext(operation, $"{refused}");
        harness.Open();
        Assert.False(harness.LogDirectory.TryGet(refused, out _));
        Assert.True(harness.Log.IsOnline);
        harness.LogDirectory.Create(refused, LogHarness.OrdersId);
        harness.KillAndOpen();
        Assert.True(harness.LogDirectory.TryGet(refused, out PartitionLog? log));
        Assert.True(log.IsOnline);
    }

    [Theory]
    [InlineData("orders")]
    [InlineData("payments")]
    public void An_interrupted_creation_that_a_start_can_neither_look_at_nor_judge_is_finished_as_soon_as_the_disk_allows_it(string topic)
    {
        LogHarness harness = LogHarness.WithPartition();
        var refused = new TopicPartition(topic, 4);
        harness.Storage.FailNext(SimulatedOperation.Create, "partition.metadata.tmp");
        Assert.Throws<IOException>(() => harness.LogDirectory.Create(refused, LogHarness.OrdersId));
        harness.Crash(SimulatedCrashKind.ProcessKill);
        harness.Storage.FailSome(SimulatedOperation.List, skippedCount: 0, failureCount: 2, $"{refused}");
        harness.Open();
        Assert.True(harness.LogDirectory.TryGet(refused, out PartitionLog? log));
        Assert.False(log.IsOnline);

        harness.Storage.FailNext(SimulatedOperation.Create, "partition.metadata.tmp");
        harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(0, harness.LogDirectory.ReopenDue());
        harness.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(1, harness.LogDirectory.ReopenDue());
        Assert.True(log.HasBeenRead);
        Assert.Equal(1, log.LeaderEpoch);
        Guid id = log.TopicId;
        Assert.True(topic == "orders" ? id == LogHarness.OrdersId : id != Guid.Empty && id != LogHarness.OrdersId);
        Assert.IsType<AppendResult.Appended>(log.Append(LogHarness.Batch(), AppendDurability.PageCache));
        harness.KillAndOpen();
        Assert.True(harness.LogDirectory.TryGet(refused, out log));
        Assert.Equal((id, new Offset(1)), (log.TopicId, log.LogEndOffset));
    }

    [Fact]
    public void It_waits_for_the_id_of_its_topic_where_the_other_partitions_could_not_be_read_either()
    {
        LogHarness harness = LogHarness.WithPartition();
        var refused = new TopicPartition(LogHarness.Orders.Topic, 4);
        harness.Storage.FailNext(SimulatedOperation.Create, "partition.metadata.tmp");
        Assert.Throws<IOException>(() => harness.LogDirectory.Create(refused, LogHarness.OrdersId));
        harness.Crash(SimulatedCrashKind.ProcessKill);
        harness.Storage.FailSome(SimulatedOperation.List, skippedCount: 0, failureCount: 2, $"{refused}");
        harness.Storage.FailSome(SimulatedOperation.List, skippedCount: 0, failureCount: 3, $"{LogHarness.Orders}");
        harness.Open();
        Assert.True(harness.LogDirectory.TryGet(refused, out PartitionLog? log));
        Assert.True(harness.LogDirectory.TryGet(LogHarness.Orders, out PartitionLog? other));
        Assert.False(log.HasBeenRead || other.HasBeenRead);

        for (int attempt = 0; !(log.IsOnline && other.IsOnline); attempt++)
        {
            Assert.InRange(attempt, 0, 5);
            harness.Time.Advance(TimeSpan.FromMinutes(1));
            harness.LogDirectory.ReopenDue();
            Assert.Equal(other.TopicId, log.HasBeenRead ? log.TopicId : other.TopicId);
        }

        Assert.Equal(LogHarness.OrdersId, log.TopicId);
    }

    [Fact]
    public void No_partition_is_made_of_an_interrupted_creation_that_is_gone_although_the_disk_did_not_say_so()
    {
        int startCount = 0;
        for (int skippedCount = 0; skippedCount < 8; skippedCount++)
        {
            LogHarness harness = LogHarness.WithPartition();
            var refused = new TopicPartition("orders", 4);
            harness.Storage.FailNext(SimulatedOperation.Create, "partition.metadata.tmp");
            Assert.Throws<IOException>(() => harness.LogDirectory.Create(refused, LogHarness.OrdersId));
            harness.Kill();
            harness.Storage.FailSome(SimulatedOperation.SyncDirectory, skippedCount, failureCount: 1, harness.Options.Path);
            try
            {
                harness.Open();
            }
            catch (LogDirectoryException)
            {
                // It was of all partitions.
                continue;
            }

            startCount++;
            Assert.False(harness.LogDirectory.TryGet(refused, out _));
        }

        Assert.True(startCount > 1);
    }

    [Fact]
    public void Partitions_that_are_opened_side_by_side_are_found_and_reported_in_order()
    {
        var options = new LogDirectoryOptions { Path = _temporary.FullName };
        using (LogDirectory made = LogDirectory.Open(options, new FileStorage(), TimeProvider.System, new Random(1), NullLogger.Instance))
        {
            for (int number = 0; number < 40; number++)
            {
                PartitionLog log = made.Create(new TopicPartition("orders", number), LogHarness.OrdersId);
                log.Append(LogHarness.Batch(1 + number), AppendDurability.PageCache);
            }

            made.Close();
        }

        foreach (int number in (int[])[3, 17, 30])
        {
            File.Delete($"{_temporary.FullName}/orders-{number}/00000000000000000000.index");
        }

        using LogDirectory opened = LogDirectory.Open(options, new FileStorage(), TimeProvider.System, new Random(1), NullLogger.Instance);
        Assert.Equal([17, 3, 30], opened.Recovery.Findings.Select(static finding => finding.Partition!.Value.Partition));
        Assert.Equal(40, opened.Partitions.Count);
        Assert.All(opened.Partitions, static log => Assert.Equal(new Offset(log.TopicPartition.Partition + 1), log.LogEndOffset));
    }

    [Fact]
    public void A_directory_has_one_user_at_a_time()
    {
        LogDirectory first = Open("data/deep");
        LogDirectoryException exception = Assert.Throws<LogDirectoryException>(() => Open("data/deep"));
        Assert.Equal(LogDirectoryFailure.Locked, exception.Failure);
        Assert.Contains("locked by another process", exception.Message, StringComparison.Ordinal);
        first.Dispose();
        Open("data/deep").Dispose();
    }

    [Fact]
    public async Task The_lock_holds_between_processes_and_ends_with_a_killed_one()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/flock"), "flock is not installed: apt-get install util-linux");
        LogDirectory directory = Open();
        using (Process tries = Start("-n", Path(".lock"), "true"))
        {
            await tries.WaitForExitAsync();
            Assert.Equal(1, tries.ExitCode);
        }

        directory.Dispose();
        using Process holder = Start("-F", Path(".lock"), "sh", "-c", "echo locked; exec sleep 600");
        Assert.Equal("locked", await holder.StandardOutput.ReadLineAsync());
        Assert.Equal(LogDirectoryFailure.Locked, Assert.Throws<LogDirectoryException>(() => Open()).Failure);
        holder.Kill();
        await holder.WaitForExitAsync();
        Open().Dispose();
    }

    [Fact]
    public async Task Real_files_go_through_appends_group_commit_clean_stop_and_start()
    {
        LogDirectory directory = Open();
        var committer = new GroupCommitter(directory, new GroupCommitterOptions(), TimeProvider.System);
        PartitionLog log = directory.Create(LogHarness.Orders, LogHarness.OrdersId);
        for (int number = 0; number < 50; number++)
        {
            log.Append(LogHarness.Batch(), AppendDurability.Disk);
        }

        await Until(log, static log => log.SyncedOffset == new Offset(50));
        Assert.Equal(new Offset(50), log.HighWatermark);
        await committer.DisposeAsync();
        directory.Close();

        directory = Open();
        Assert.True(directory.Recovery.WasCleanStop);
        Assert.True(directory.TryGet(LogHarness.Orders, out PartitionLog? again));
        Assert.Equal(new Offset(50), again.LogEndOffset);
        directory.Dispose();
    }

    internal static async Task Until(PartitionLog log, Func<PartitionLog, bool> condition)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void Check(PartitionLog changed)
        {
            if (condition(changed))
            {
                reached.TrySetResult();
            }
        }

        log.Progressed += Check;
        Check(log);
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(30));
        log.Progressed -= Check;
    }

    private static Process Start(params string[] arguments) =>
        Process.Start(new ProcessStartInfo("/usr/bin/flock", arguments) { RedirectStandardOutput = true, UseShellExecute = false })!;

    private string Path(string name) => System.IO.Path.Combine(_temporary.FullName, name);

    private LogDirectory Open(string name = "") => LogDirectory.Open(
        new LogDirectoryOptions { Path = Path(name) }, new FileStorage(), TimeProvider.System, new Random(1), NullLogger.Instance);
}
