using System.Runtime.ExceptionServices;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>
/// One seed: the client as applications use it, against the broker, over a simulated network, on a simulated disk and under a simulated clock. Producers, idempotent and transactional,
/// consumers in groups and without, and workers that read, process and write in transactions. Connections are cut, silenced and slow; processes are killed, stopped, and cut off; the broker
/// is killed, and its power fails. At the end the disturbance stops, everything that was begun has to come to its end, and what is in the log is compared with what clients were told.
/// </summary>
/// <remarks>
/// One thread does all of it. Whatever could happen next in the broker, the network and the processes waits in a list, and chance says which of it happens. So a seed replays exactly. Each
/// process has a context of its own; whatever of the client ran on another thread would be noticed.
/// </remarks>
internal sealed partial class ClientSimulation
{
    private const int PartitionCount = 2;
    private const long MaxStepCount = 3_000_000;

    private static readonly TimeSpan TurmoilTime = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan PatienceAfterwards = TimeSpan.FromMinutes(10);

    private readonly Random _random;
    private readonly SimulatedMachine _machine;
    private readonly List<(SimulatedThread Thread, SimulatedProcess? Process, int Weight)> _runnable = [];
    private readonly List<ClientProgram> _programs = [];
    private Task? _starting;
    private TimeSpan? _brokerDownUntil;
    private TimeSpan _nextDisturbance;
    private Exception? _fault;
    private ulong _eventHash = 17;

    public ClientSimulation(int seed, ClientSabotage sabotage, int tracedLineCount = 0)
    {
        _random = new Random(seed);
        Sabotage = sabotage;
        Clock = new SimulatedClock();
        Trace = tracedLineCount > 0 ? new BrokerTrace(Clock, tracedLineCount) : null;
        Network = new SimulatedNetwork(Clock, _random, sabotage);
        _machine = new SimulatedMachine(Clock, _random, sabotage == ClientSabotage.FlushDoesNothing ? BrokerSabotage.FlushDoesNothing : BrokerSabotage.None);
    }

    /// <summary>Written to by idempotent producers, and read by the group of readers and that of workers.</summary>
    public static IReadOnlyList<TopicPartition> Orders { get; } = PartitionsOf("orders");

    /// <summary>Written to in transactions.</summary>
    public static IReadOnlyList<TopicPartition> Ledger { get; } = PartitionsOf("ledger");

    /// <summary>What workers make of orders: for each one record with its number.</summary>
    public static IReadOnlyList<TopicPartition> Shipments { get; } = PartitionsOf("shipments");

    public ClientModel Model { get; } = new();

    public SimulatedClock Clock { get; }

    public SimulatedNetwork Network { get; }

    public ClientSabotage Sabotage { get; }

    /// <summary>Null unless it was asked for: it takes time.</summary>
    public BrokerTrace? Trace { get; }

    public long StepCount { get; private set; }

    public int BrokerCrashCount { get; private set; }

    public int ProcessKillCount { get; private set; }

    /// <summary>Nothing is disturbed any more, and nothing new begins.</summary>
    public bool IsEnding { get; private set; }

    /// <summary>Nobody writes orders any more.</summary>
    public bool AreOrdersComplete => _programs.TrueForAll(static program => program is not OrderWriter || program.IsDone);

    /// <summary>Nobody writes anything any more.</summary>
    public bool IsEverythingWritten => _programs.TrueForAll(static program => !program.Writes || program.IsDone);

    private TimeSpan Now => TimeSpan.FromTicks(Clock.GetTimestamp());

    /// <summary>Returns a hash over every step, every operation of the disk, and every byte that went over the network.</summary>
    public ulong Run()
    {
        Await(_machine.BeginStart());
        Network.BrokerIsUp(_machine.Broker!);
        Await(InNetwork(PrepareAsync));
        StartPrograms();
        TimeSpan end = Now + TurmoilTime;
        Wake(TurmoilTime);
        while (Now < end)
        {
            Disturb();
            Step();
        }

        Calm();
        TimeSpan limit = Now + PatienceAfterwards;
        while (!_programs.TrueForAll(static program => program.IsDone))
        {
            if (Now >= limit || StepCount >= MaxStepCount)
            {
                Require.That(false, $"what was begun comes to its end, also of {string.Join(", ", _programs.Where(static program => !program.IsDone).Select(static program => program.Name))}");
            }

            Step();
        }

        Await(InNetwork(CheckAsync));
        return _machine.Storage.Hash ^ (_eventHash * 31) ^ (Network.Hash * 37);
    }

    public int Next(int end) => _random.Next(end);

    public bool Chance(int percent) => _random.Next(100) < percent;

    public T Pick<T>(params ReadOnlySpan<T> choices) => choices[_random.Next(choices.Length)];

    public TopicPartition Pick(IReadOnlyList<TopicPartition> partitions) => partitions[_random.Next(partitions.Count)];

    public Task PauseAsync(int maxMilliseconds) => Clock.PauseAsync(TimeSpan.FromMilliseconds(1 + _random.Next(maxMilliseconds)));

    private static TopicPartition[] PartitionsOf(string topic) =>
        [.. Enumerable.Range(0, PartitionCount).Select(partition => new TopicPartition(topic, partition))];

    private Task InNetwork(Func<Task> work)
    {
        Task? task = null;
        Network.Thread.Enter(() => task = work());
        return task!;
    }

    private SimulatedLink NewLink(string name) => new(_machine.Broker!.Connect(), name, Trace);

    private async Task PrepareAsync()
    {
        CreateTopicsRequest request = new()
        {
            Topics =
            [
                .. new[] { Orders, Ledger, Shipments }.Select(static partitions => new CreatableTopic
                {
                    Name = partitions[0].Topic, PartitionCount = PartitionCount, ReplicationFactor = 1,
                }),
            ],
        };
        CreateTopicsResponse? response = await NewLink("prepare").SendAsync<CreateTopicsRequest, CreateTopicsResponse>(request, 5);
        Require.That(response!.Topics.TrueForAll(static topic => topic.ErrorCode == ErrorCode.None), "topics are created");
    }

    private void StartPrograms()
    {
        _programs.Add(new OrderWriter(this, "orders-1"));
        _programs.Add(new OrderWriter(this, "orders-2"));
        _programs.Add(new LedgerWriter(this, "ledger-1", "ledger"));
        _programs.Add(new AuditReader(this, "audit", isCommitted: true));
        if (Chance(40))
        {
            // They fence each other.
            _programs.Add(new LedgerWriter(this, "ledger-2", "ledger"));
        }

        bool isCooperative = Chance(60);
        if (Chance(70))
        {
            int count = 1 + Next(3);
            _programs.AddRange(Enumerable.Range(1, count).Select(number => new ShipmentWorker(this, $"worker-{number}", isCooperative)));
        }

        if (Chance(70))
        {
            int count = 1 + Next(3);
            _programs.AddRange(Enumerable.Range(1, count).Select(number => new OrderReader(this, $"reader-{number}", !isCooperative)));
        }

        _programs.ForEach(Launch);
    }

    private void Launch(ClientProgram program)
    {
        var process = new SimulatedProcess(Network, _random, program.Name);
        program.Process = process;
        process.Thread.Enter(() => _ = RunAsync(program, process));
    }

    private async Task RunAsync(ClientProgram program, SimulatedProcess process)
    {
        try
        {
            await program.RunAsync(process);
            Require.That(IsEnding, "a program goes on until the simulation ends");
            program.IsDone = true;
            Trace?.Add($"{program.Name} is done");
        }
        catch (Exception exception)
        {
            _fault ??= exception;
        }
    }

    /// <summary>Has time go on up to there, even if nothing else is due.</summary>
    private void Wake(TimeSpan after) => Network.Thread.Enter(() => Clock.CreateTimer(static _ => { }, null, after, Timeout.InfiniteTimeSpan));

    /// <summary>Goes on until the task is done, where nothing is disturbed.</summary>
    private void Await(Task task)
    {
        long limit = StepCount + MaxStepCount;
        while (!task.IsCompleted)
        {
            Require.That(StepCount < limit, "what is begun comes to an end");
            Step();
        }

        task.GetAwaiter().GetResult();
    }

    /// <summary>Something that could happen next happens.</summary>
    private void Step()
    {
        StepCount++;
        if (_fault is not null)
        {
            ExceptionDispatchInfo.Throw(_fault);
        }

        TendBroker();
        int total = FindRunnable();
        bool hasDisk = _machine.Committer is { HasWork: true };
        int disk = hasDisk ? 3 : 0;
        int choice = _random.Next((total + disk) * 16 + 1);
        Mix((ulong)choice);
        try
        {
            if (total + disk == 0)
            {
                Clock.Advance(Clock.UntilNext ?? TimeSpan.Zero);
            }
            else if (choice == (total + disk) * 16)
            {
                // Everything takes its time.
                Clock.Advance(TimeSpan.FromMilliseconds(_random.Next(20)));
            }
            else if (choice < total * 16)
            {
                RunOne(choice / 16);
            }
            else
            {
                _machine.Thread.Enter(_machine.Committer!.RunOne);
            }
        }
        catch (SimulatedCrashException)
        {
            // The machine went down in the middle of a step.
        }

        if (_machine.Storage.IsDown && _brokerDownUntil is null)
        {
            BringDown(Pick(SimulatedCrashKind.ProcessKill, SimulatedCrashKind.PowerLoss));
        }
    }

    private int FindRunnable()
    {
        _runnable.Clear();
        int total = Add(_machine.Thread, process: null, weight: 4) + Add(Network.Thread, process: null, weight: 4);
        foreach (ClientProgram program in _programs)
        {
            if (program.Process is { IsAlive: true } process && process.StoppedUntil <= Now)
            {
                total += Add(process.Thread, process, weight: 2);
            }
        }

        return total;
    }

    private int Add(SimulatedThread thread, SimulatedProcess? process, int weight)
    {
        if (!thread.HasWork)
        {
            return 0;
        }

        _runnable.Add((thread, process, weight));
        return weight;
    }

    private void RunOne(int choice)
    {
        foreach ((SimulatedThread thread, _, int weight) in _runnable)
        {
            choice -= weight;
            if (choice < 0)
            {
                thread.RunOne();
                return;
            }
        }
    }

    private void Mix(ulong value) => _eventHash = ulong.RotateLeft((_eventHash ^ value) * 1099511628211, 29);
}
