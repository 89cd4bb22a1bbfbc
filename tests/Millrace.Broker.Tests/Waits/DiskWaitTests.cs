using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public class DiskWaitTests
{
    private static readonly TopicPartition Orders = new("orders", 0);

    [Fact]
    public async Task Records_that_were_lost_are_not_taken_for_those_that_come_in_their_place()
    {
        var storage = new SimulatedStorage(1);
        var time = new ManualTime();
        using LogDirectory directory = LogDirectory.Open(new LogDirectoryOptions { Path = "/data" }, storage, time, new Random(1), NullLogger.Instance);
        PartitionLog log = directory.Create(Orders, Guid.Empty);
        await using var committer = new GroupCommitter(directory, new GroupCommitterOptions(), time);
        storage.FailNext(SimulatedOperation.SyncData, ".log");
        var lost = new AppendedRecords(log, Append(log));
        Assert.False(lost.AreOnDisk);
        await Until(log, static log => !log.IsOnline);
        Assert.False(lost.AreOnTheirWay);
        Assert.True(new DiskWait([lost]).IsSatisfied());

        // What the sync left behind is not whole.
        using (IStorageFile file = storage.Open("/data/orders-0/00000000000000000000.log", StorageOpenMode.Existing))
        {
            file.SetLength(20);
        }

        // It is offline a moment before its return is planned, and that is by the clock.
        await Conditions.BecomesTrueAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(1));
                return log.IsOnline;
            },
            "it is back");
        var next = new AppendedRecords(log, Append(log));
        await Until(log, _ => next.AreOnDisk);
        Assert.Equal(lost.LastOffset, next.LastOffset);
        Assert.False(lost.AreOnDisk);
        Assert.False(lost.AreOnTheirWay);
        Assert.True(new DiskWait([lost, next]).IsSatisfied());
    }

    private static Offset Append(PartitionLog log)
    {
        var builder = new RecordBatchBuilder();
        builder.Append(1000, [], keyIsNull: true, "x"u8, valueIsNull: false, headers: null);
        return Assert.IsType<AppendResult.Appended>(log.Append(builder.Build().Span, AppendDurability.Disk)).LastOffset;
    }

    private static async Task Until(PartitionLog log, Predicate<PartitionLog> condition)
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
        await reached.Task.WaitAsync(TestContext.Current.CancellationToken);
        log.Progressed -= Check;
    }
}
