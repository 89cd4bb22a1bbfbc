using Millrace.Broker;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>A machine with a disk, on which the process of a broker begins and ends again and again.</summary>
internal sealed class SimulatedMachine
{
    public const string Root = "/data";

    private readonly SimulatedClock _clock;
    private readonly Random _random;
    private readonly BrokerSabotage _sabotage;
    private readonly BrokerConfiguration _configuration;
    private SimulatedRuntime? _runtime;

    public SimulatedMachine(SimulatedClock clock, Random random, BrokerSabotage sabotage)
    {
        _clock = clock;
        _random = random;
        _sabotage = sabotage;
        Storage = new SimulatedStorage(random.Next()) { BootId = "boot", IgnoresFlushes = sabotage == BrokerSabotage.FlushDoesNothing };
        Storage.IgnoresFlushesOf = sabotage == BrokerSabotage.JournalFlushDoesNothing ? "commit-journal" : null;
        Thread = new SimulatedThread(random);
        var options = new BrokerOptions
        {
            DataDirectory = Root,
            TransactionStateTopicPartitionCount = 1 + random.Next(2),
            AutoCreateTopics = false,
            TransactionMaxTimeout = TimeSpan.FromSeconds(60),
            TransactionalIdExpiration = TimeSpan.FromSeconds(90),

            // Small enough for its halves to take turns; one in four runs without it.
            CommitJournalByteCount = random.Next(4) == 0 ? 0 : LogDirectoryOptions.LeastCommitJournalByteCount,
        };

        // Its threads, whose work is done here; its timers go on.
        options.Cleaner.IsEnabled = false;
        options.Cleaner.RetentionCheckInterval = TimeSpan.FromSeconds(5);
        _configuration = BrokerConfiguration.From(options);
    }

    public SimulatedStorage Storage { get; private set; }

    public SimulatedThread Thread { get; private set; }

    /// <summary>Null while none is running.</summary>
    public KafkaBroker? Broker { get; private set; }

    public LogDirectory? Log => _runtime?.Committer?.Log;

    public SimulatedCommitter? Committer => _runtime?.Committer;

    public int CompactionCount { get; private set; }

    public int FailedCompactionCount { get; private set; }

    public PartitionLog? Find(TopicPartition partition) => Broker?.Topics.Find(partition);

    /// <summary>Begins a start; <see cref="Broker"/> is there once it is done.</summary>
    public Task BeginStart()
    {
        Thread = new SimulatedThread(_random);
        _runtime = new SimulatedRuntime(Thread, Storage, _random, _sabotage);
        Task? starting = null;
        Thread.Enter(() => starting = StartAsync(_runtime));
        return starting!;
    }

    public Task BeginStop()
    {
        KafkaBroker broker = Broker!;
        Broker = null;
        Task? stopping = null;
        Thread.Enter(() => stopping = broker.StopAsync());
        return stopping!;
    }

    /// <summary>The process or the machine goes down, if it has not done so already.</summary>
    public void Crash(SimulatedCrashKind kind)
    {
        End();
        string? bootId = Storage.BootId;
        Storage = Storage.Crash(_sabotage == BrokerSabotage.KillLosesCache ? SimulatedCrashKind.PowerLoss : kind);
        Storage.BootId = kind == SimulatedCrashKind.ProcessKill ? bootId : Storage.BootId;
        Storage.FreeByteCount = long.MaxValue;
        if (_sabotage == BrokerSabotage.ForgetLogStarts)
        {
            Storage.DeleteFile($"{Root}/log-start-offset-checkpoint");
        }

        if (_sabotage == BrokerSabotage.ForgetJournal)
        {
            Storage.DeleteFile($"{Root}/commit-journal.0");
            Storage.DeleteFile($"{Root}/commit-journal.1");
        }
    }

    /// <summary>Compacts one of the logs that can be, as a thread of the cleaner does; or only begins to.</summary>
    public void Compact()
    {
        if (Log is { } log)
        {
            Thread.Enter(() => Compact(log));
        }
    }

    /// <summary>The disk flips a bit of one of the files that make up the logs.</summary>
    public void RotBit()
    {
        List<string> files =
        [
            .. from directory in Storage.Peek(Root)
               where directory.IsDirectory
               from file in Storage.Peek($"{Root}/{directory.Name}")
               where file.ByteCount > 0 && (file.Name.EndsWith(".log", StringComparison.Ordinal) || file.Name.EndsWith("index", StringComparison.Ordinal))
               select $"{Root}/{directory.Name}/{file.Name}",
        ];
        Storage.FlipBit(files[_random.Next(files.Count)], 0);
    }

    /// <summary>Nothing of the process goes on.</summary>
    public void End()
    {
        Broker = null;
        _runtime = null;
        Thread.End();
        _clock.Forget(Thread);
    }

    private void Compact(LogDirectory log)
    {
        try
        {
            List<(PartitionLog Partition, CleaningPlan Plan)> all =
            [
                .. from partition in log.Partitions.OrderBy(static partition => partition.TopicPartition, TopicPartition.Order)
                   let plan = partition.PlanCleaning(log.Now)
                   where plan is not null
                   select (partition, plan),
            ];
            if (all.Count > 0)
            {
                (PartitionLog partition, CleaningPlan plan) = all[_random.Next(all.Count)];
                int batchCount = _random.Next(200);
                long memory = (_random.Next(2) == 0 ? 20 : 4000) * KeyOffsets.EntryByteCount;
                partition.Compact(plan, new CleaningLimits(memory, LoadFactor: 0.9, BufferByteCount: 4096, log.Now, () => batchCount-- <= 0));
                CompactionCount++;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            FailedCompactionCount++;
        }
    }

    private async Task StartAsync(SimulatedRuntime runtime) =>
        Broker = await KafkaBroker.StartAsync(_configuration, Storage, _clock, BugLogs.Instance, runtime);
}
