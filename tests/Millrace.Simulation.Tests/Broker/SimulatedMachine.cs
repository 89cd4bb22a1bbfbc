using Microsoft.Extensions.Logging.Abstractions;
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
        Thread = new SimulatedThread(random);
        var options = new BrokerOptions
        {
            DataDirectory = Root,
            TransactionStateTopicPartitionCount = 1 + random.Next(2),
            AutoCreateTopics = false,
        };
        options.Cleaner.IsEnabled = false;
        _configuration = BrokerConfiguration.From(options);
    }

    public SimulatedStorage Storage { get; private set; }

    public SimulatedThread Thread { get; private set; }

    /// <summary>Null while none is running.</summary>
    public KafkaBroker? Broker { get; private set; }

    public LogDirectory? Log => _runtime?.Committer?.Log;

    public SimulatedCommitter? Committer => _runtime?.Committer;

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
        Storage = Storage.Crash(kind);
        Storage.FreeByteCount = long.MaxValue;
    }

    /// <summary>Nothing of the process goes on.</summary>
    public void End()
    {
        Broker = null;
        _runtime = null;
        Thread.End();
        _clock.Forget(Thread);
    }

    private async Task StartAsync(SimulatedRuntime runtime) =>
        Broker = await KafkaBroker.StartAsync(_configuration, Storage, _clock, NullLoggerFactory.Instance, runtime);
}
