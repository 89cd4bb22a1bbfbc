using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>The threads and timers around retention and compaction.</summary>
public class LogCleanerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task What_is_due_is_compacted_and_a_log_that_cannot_be_is_left_alone()
    {
        var topic = new CompactionHarness();
        PartitionLog damaged = topic.Log;
        PartitionLog whole = topic.Harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        foreach (PartitionLog log in (PartitionLog[])[damaged, whole])
        {
            for (int number = 0; number < 4; number++)
            {
                log.Append(CompactionHarness.Batch([("a", $"{number}")]), AppendDurability.PageCache);
            }

            SyncWork work = log.BeginSync()!;
            work.Run();
            log.EndSync(work, null);
        }

        topic.Harness.Storage.FlipBit($"{LogHarness.Directory}/00000000000000000001.log", 70);
        var logger = new SignalingLogger();
        await using (new LogCleaner(topic.Harness.LogDirectory, new LogCleanerOptions(), topic.Harness.Time, logger))
        {
            await logger.UntilAsync(() => whole.CleanedUpTo == new Offset(3) && damaged.UncleanableReason is not null);
            Assert.Equal(2, whole.SegmentsForTests.Count(static segment => segment.ByteCount > 0));

            // A tick later, what has become due meanwhile.
            whole.Append(CompactionHarness.Batch([("a", "4")]), AppendDurability.PageCache);
            whole.Append(CompactionHarness.Batch([("a", "5")]), AppendDurability.PageCache);
            SyncWork work = whole.BeginSync()!;
            work.Run();
            whole.EndSync(work, null);
            topic.Harness.Time.Advance(new LogCleanerOptions().Backoff);
            await logger.UntilAsync(() => whole.CleanedUpTo == new Offset(5));
        }

        Assert.Equal(Offset.Zero, damaged.CleanedUpTo);
        Assert.True(damaged.IsOnline);
    }

    [Fact]
    public async Task Retention_is_applied_at_its_interval_and_files_go_after_their_delay()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string> { ["retention.bytes"] = "0" });
        harness.AppendMany(3, AppendDurability.PageCache);
        harness.Sync();
        var options = new LogCleanerOptions { IsEnabled = false };
        await using var cleaner = new LogCleaner(harness.LogDirectory, options, harness.Time, NullLogger.Instance);
        harness.Time.Advance(options.RetentionCheckInterval - TimeSpan.FromTicks(1));
        Assert.Equal(Offset.Zero, harness.Log.LogStartOffset);
        harness.Time.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(new Offset(3), harness.Log.LogStartOffset);
        Assert.Contains("00000000000000000000.log.deleted", harness.Files());
        harness.Time.Advance(TimeSpan.FromMinutes(2));
        Assert.DoesNotContain("00000000000000000000.log.deleted", harness.Files());
    }

    /// <summary>Every compaction ends with a line in the log.</summary>
    private sealed class SignalingLogger : ILogger
    {
        private readonly SemaphoreSlim _written = new(0);

        public async Task UntilAsync(Func<bool> condition)
        {
            while (!condition())
            {
                Assert.True(await _written.WaitAsync(Patience));
            }
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            _written.Release();
    }
}
