using Millrace.Kafka.Records;

namespace Millrace.Log.Tests.Journal;

/// <summary>A directory with two partitions and a journal that is ready, and its rounds.</summary>
internal sealed class JournalHarness
{
    public static readonly string[] Halves = ["/data/commit-journal.0", "/data/commit-journal.1"];
    public static readonly TopicPartition Other = new("orders", 1);

    public JournalHarness(Action<LogDirectoryOptions>? configure = null)
    {
        Log = LogHarness.WithPartition(options =>
        {
            options.CommitJournalByteCount = 32768;
            options.CommitJournalPieceByteCount = 4000;
            configure?.Invoke(options);
        });
        Log.LogDirectory.Create(Other, LogHarness.OrdersId);
        MakeReady();
    }

    public LogHarness Log { get; }

    public CommitJournal Journal => Log.LogDirectory.Journal;

    public PartitionLog Orders => Log.Log;

    public PartitionLog Second => Log.LogDirectory.TryGet(Other, out PartitionLog? log) ? log : throw new InvalidOperationException("no such partition");

    public SimulatedStorage Storage => Log.Storage;

    /// <summary>Has the files of the journal made.</summary>
    public void MakeReady()
    {
        Orders.WantSync();
        Assert.False(new RoundTask(Journal, [Orders]).TryBegin());
        Journal.Prepare();
        Journal.Prepare();
        Assert.False(Journal.WantsPreparation);
    }

    /// <summary>Appends one record for the disk.</summary>
    public static AppendResult.Appended Append(PartitionLog log, int valueByteCount = 100, int sequence = -1) =>
        Assert.IsType<AppendResult.Appended>(log.Append(
            sequence < 0 ? LogHarness.Batch(valueByteCount: valueByteCount) : LogHarness.Batch(producerId: 7, sequence: sequence), AppendDurability.Disk));

    /// <summary>A record in each partition, acknowledged by one round.</summary>
    public void Commit(params PartitionLog[] logs)
    {
        foreach (PartitionLog log in logs)
        {
            Append(log);
        }

        Round(logs);
    }

    public void Round(params PartitionLog[] logs)
    {
        RoundTask round = Begin(logs);
        round.Run();
        Assert.Null(round.Error);
        round.End();
    }

    public RoundTask Begin(params PartitionLog[] logs)
    {
        var round = new RoundTask(Journal, logs);
        Assert.True(round.TryBegin());
        Assert.Empty(round.ForFiles);
        Assert.Empty(round.Later);
        return round;
    }

    public static void Store(PartitionLog log)
    {
        SyncWork work = log.BeginStore()!;
        work.Run();
        log.EndSync(work, null);
    }

    public static void AssertOffsets(PartitionLog log, long synced, long stored)
    {
        Assert.Equal((new Offset(synced), new Offset(stored)), (log.SyncedOffset, log.StoredOffset));
        Assert.Equal(new Offset(stored), log.RecoveryPoint);
    }

    public bool HasJournal => Halves.Any(Storage.FileExists);

    /// <summary>The next starts, each interrupted by a crash after as many operations, until one comes through.</summary>
    public int OpenWithCrashes(Func<int, SimulatedCrashKind> kindOf)
    {
        for (int operationCount = 0; ; operationCount++)
        {
            Storage.CrashAfter(operationCount);
            try
            {
                Log.Open();
                Storage.CrashAfter(long.MaxValue / 2);
                return operationCount;
            }
            catch (SimulatedCrashException)
            {
                Log.Crash(kindOf(operationCount));
            }
        }
    }
}
