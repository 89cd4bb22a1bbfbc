using Millrace.Broker;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>
/// One seed: a broker on a simulated disk and a simulated clock, and programs that speak to it over several connections: producers of every kind, with requests that are sent
/// twice, late and in another order; transactions; consumers; commits of offsets. The disk is slow, full, or fails; connections are cut; the process ends and the power fails at any
/// operation of the disk, those of a start included. After each start everything is read and compared with what the programs were told.
/// </summary>
/// <remarks>
/// One thread does all of it. Whatever could happen next, be it a continuation in the broker, a step of its flushers, or a program's, waits in a list, and chance says which of it
/// happens. So a seed replays exactly.
/// </remarks>
internal sealed partial class BrokerSimulation
{
    private const int RoundCount = 3;
    private const int MaxStepsToRest = 200_000;
    private const int MaxStepsToRestOfControl = 20_000;
    private const int MaxDelayedCount = 30;

    private readonly Random _random;
    private readonly BrokerSabotage _sabotage;
    private readonly int _maxStepsToRest;
    private readonly SimulatedThread _programs;
    private readonly SimulatedMachine _machine;
    private readonly List<SimulatedLink> _links = [];
    private readonly List<TaskCompletionSource<SimulatedLink>> _connecting = [];
    private readonly List<Task> _running = [];

    // Requests of which the network has kept a copy.
    private readonly List<Func<SimulatedLink, Task>> _delayed = [];
    private Exception? _fault;
    private bool _isServing;
    private bool _isDiskSlow;

    // The disk may refuse something that concerns no partition.
    private bool _mayRefuse;
    private bool _isQuiet = true;
    private ulong _eventHash = 17;
    private int _lastLinkNumber;

    public BrokerSimulation(int seed, BrokerSabotage sabotage, int tracedLineCount = 0)
    {
        _random = new Random(seed);
        _sabotage = sabotage;
        _maxStepsToRest = sabotage == BrokerSabotage.None ? MaxStepsToRest : MaxStepsToRestOfControl;
        Clock = new SimulatedClock();
        Trace = tracedLineCount > 0 ? new BrokerTrace(Clock, tracedLineCount) : null;
        _programs = new SimulatedThread(_random);
        _machine = new SimulatedMachine(Clock, _random, sabotage);
        Model = new BrokerModel(Topics);
    }

    public static IReadOnlyList<TopicPartition> Topics { get; } =
        [new TopicPartition("orders", 0), new TopicPartition("orders", 1), new TopicPartition("payments", 0)];

    public BrokerModel Model { get; }

    public SimulatedClock Clock { get; }

    /// <summary>Null unless it was asked for: it takes time.</summary>
    public BrokerTrace? Trace { get; }

    public int CrashCount { get; private set; }

    public int ReturnCount { get; private set; }

    public long StepCount { get; private set; }

    public int CompactionCount => _machine.CompactionCount;

    public int RetainedCount => Model.Partitions.Count(static partition => partition.IsSizeLimited);

    /// <summary>The programs come to an end.</summary>
    public bool IsEnding { get; private set; }

    public BrokerSabotage Sabotage => _sabotage;

    /// <summary>Returns a hash over every operation of the disk and every step.</summary>
    public ulong Run()
    {
        Await(_machine.BeginStart());
        Await(Begin(PrepareAsync));
        AfterStart(hasLost: false);
        StartPrograms();
        _isQuiet = false;
        for (int round = 0; round < RoundCount; round++)
        {
            _isServing = true;
            Serve();
            Restart(Work());
        }

        _isServing = true;
        Serve();
        SimulatedCrashKind? kind = Work();
        if (_machine.Storage.IsDown)
        {
            Restart(kind ?? SimulatedCrashKind.PowerLoss);
        }

        Finish();
        return _machine.Storage.Hash ^ (_eventHash * 31);
    }

    public int Next(int end) => _random.Next(end);

    public bool Chance(int percent) => _random.Next(100) < percent;

    public T Pick<T>(params ReadOnlySpan<T> choices) => choices[_random.Next(choices.Length)];

    public TopicPartition PickPartition() => Topics[_random.Next(Topics.Count)];

    /// <summary>A new connection, as soon as there is a broker.</summary>
    public Task<SimulatedLink> ConnectAsync()
    {
        TaskCompletionSource<SimulatedLink> connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _connecting.Add(connected);
        if (_isServing)
        {
            Serve();
        }

        return connected.Task;
    }

    /// <summary>Keeps a copy of a request, which arrives at some later time, or never.</summary>
    public void Delay(Func<SimulatedLink, Task> request)
    {
        if (_delayed.Count < MaxDelayedCount)
        {
            _delayed.Add(request);
        }
    }

    public Func<SimulatedLink, Task>? TakeDelayed()
    {
        if (_delayed.Count == 0)
        {
            return null;
        }

        int number = _random.Next(_delayed.Count);
        Func<SimulatedLink, Task> taken = _delayed[number];
        _delayed.RemoveAt(number);
        return taken;
    }

    /// <summary>Begins something whose failure is that of the simulation.</summary>
    public void Start(Func<Task> program) => _running.Add(Begin(async () =>
    {
        try
        {
            await program();
        }
        catch (Exception exception)
        {
            _fault ??= exception;
        }
    }));

    public Task PauseAsync() => Clock.PauseAsync(TimeSpan.FromMilliseconds(1 + _random.Next(400)));

    private async Task PrepareAsync()
    {
        SimulatedLink link = Connect();
        CreateTopicsRequest request = new()
        {
            Topics =
            [
                .. Topics.GroupBy(static partition => partition.Topic).Select(topic => new CreatableTopic
                {
                    Name = topic.Key,
                    PartitionCount = topic.Count(),
                    ReplicationFactor = 1,
                }),
            ],
        };
        CreateTopicsResponse? response = await link.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(request, 5);
        Require.That(response!.Topics.TrueForAll(static topic => topic.ErrorCode == ErrorCode.None), "topics are created");
    }

    private void StartPrograms()
    {
        List<BrokerProgram> programs =
        [
            new PlainProducer(this),
            new PlainProducer(this),
            new IdempotentProducer(this, acks: -1),
            new IdempotentProducer(this, acks: 1),
            new TransactionalProducer(this, "classic", "of classic", isClassic: true),
            new TransactionalProducer(this, "implicit", "of implicit", isClassic: false),
            new OffsetCommitter(this, "group"),
            new TailReader(this, isCommitted: false),
            new TailReader(this, isCommitted: true),
            new RecordDeleter(this),
            new DelayedNetwork(this),
        ];

        // Not all of them each time: the steps of a seed would be spread thin.
        if (Chance(40))
        {
            // They fence each other.
            bool isClassic = Chance(50);
            string transactionalId = isClassic ? "classic" : "implicit";
            programs.Add(new TransactionalProducer(this, transactionalId, $"of the other {transactionalId}", isClassic));
        }

        if (Chance(40))
        {
            ModelConsumerGroup group = new("members", Topics.ToDictionary(static partition => partition, partition => Model.NewGroup("members", partition)));
            programs.AddRange(Enumerable.Range(0, 3).Select(_ => new GroupMember(this, group)));
        }

        if (Chance(40))
        {
            programs.Add(new TopicRenewer(this));
        }

        programs.ForEach(program => Start(program.RunAsync));
    }

    private SimulatedLink Connect()
    {
        InMemoryConnection? connection = null;
        _machine.Thread.Enter(() => connection = _machine.Broker!.Connect());
        SimulatedLink? link = null;
        _programs.Enter(() => link = new SimulatedLink(connection!, $"#{++_lastLinkNumber}", Trace));
        _links.Add(link!);
        return link!;
    }

    private void Serve()
    {
        List<TaskCompletionSource<SimulatedLink>> waiting = [.. _connecting];
        _connecting.Clear();
        waiting.ForEach(connected => connected.SetResult(Connect()));
    }

    private Task Begin(Func<Task> program)
    {
        Task? task = null;
        _programs.Enter(() => task = program());
        return task!;
    }

    /// <summary>Returns how it ended.</summary>
    private SimulatedCrashKind? Work()
    {
        if (Chance(75))
        {
            _machine.Storage.CrashAfter(_random.Next(400));
        }

        int stepCount = 400 + _random.Next(1200);
        try
        {
            for (int step = 0; step < stepCount; step++)
            {
                Disturb();
                Step();
            }
        }
        catch (SimulatedCrashException)
        {
            // The machine went down in the middle of a step.
        }

        return Chance(20) ? null : Chance(35) ? SimulatedCrashKind.ProcessKill : SimulatedCrashKind.PowerLoss;
    }

    /// <summary>Ends the broker and starts it again, and looks at what is there.</summary>
    /// <param name="kind">Null: it is stopped.</param>
    private void Restart(SimulatedCrashKind? kind)
    {
        _isServing = false;
        _isQuiet = true;
        _isDiskSlow = false;
        bool hasLost = kind == SimulatedCrashKind.PowerLoss;
        if (kind is null && Chance(30))
        {
            Refuse();
        }

        if (kind is null && !TryStop())
        {
            hasLost = true;
            kind = SimulatedCrashKind.PowerLoss;
        }

        for (int crashesLeft = _random.Next(3); ; crashesLeft--)
        {
            CrashCount++;
            _links.ForEach(static link => link.Lose());
            _links.Clear();
            Trace?.Add($"down: {kind}");
            _machine.Crash(kind ?? SimulatedCrashKind.ProcessKill);
            _machine.Storage.CrashAfter(crashesLeft > 0 ? _random.Next(80) : long.MaxValue / 2);
            bool mayRefuse = crashesLeft > 0 && Chance(40);
            if (TryStart(mayRefuse) && !HasUnfinishedTopics(mayRefuse))
            {
                break;
            }

            kind = Chance(35) ? SimulatedCrashKind.ProcessKill : SimulatedCrashKind.PowerLoss;
            hasLost |= kind == SimulatedCrashKind.PowerLoss;
        }

        _machine.Storage.CrashAfter(long.MaxValue / 2);
        Trace?.Add($"up again; kept writes: {_machine.Log!.Recovery.HasKeptWrites}; {string.Join(' ', _machine.Log.Recovery.Findings)}");
        _mayRefuse = false;
        BringAllBack();
        AfterStart(hasLost);
        Await(Begin(() => VerifyAsync(isAfterStart: true)));
        _isQuiet = false;
    }

    /// <summary>False if the machine goes down in it, or the disk refuses it; then nothing is refused any more.</summary>
    private bool TryStart(bool mayRefuse)
    {
        if (mayRefuse)
        {
            Refuse();
        }

        int refusalCount = _machine.Storage.RefusalCount;
        try
        {
            return TryAwait(_machine.BeginStart());
        }
        catch (BrokerStartException) when (_machine.Storage.RefusalCount > refusalCount)
        {
            return false;
        }
        finally
        {
            _machine.Storage.FailNoMore();
        }
    }

    /// <summary>
    /// Whether the disk has kept the start from reading what there is of a topic whose creation was interrupted. Then it is not whole, and stays so until a start that can read it.
    /// </summary>
    private bool HasUnfinishedTopics(bool mayRefuse)
    {
        bool isUnfinished = _machine.Broker!.Topics.All.Any(static topic => topic.Partitions.Contains(null)) || _machine.Log!.Partitions.Any(IsUnfinished);
        Require.That(mayRefuse || !isUnfinished, "a start to which the disk refuses nothing finishes what was begun of topics, or takes it away");
        return isUnfinished;
    }

    private bool IsUnfinished(PartitionLog log) => !log.HasBeenRead && !_machine.Storage.FileExists($"{SimulatedMachine.Root}/{log.TopicPartition}/{FileNames.PartitionMetadata}");

    private void BringAllBack()
    {
        for (int step = 0; !AreAllOnline || AnyAwaitsSettlement || _machine.Committer!.HasWork; step++)
        {
            Require.That(step < _maxStepsToRest, "the disk comes to rest, and partitions that are offline come back");
            Step();
        }
    }

    /// <summary>False if the machine goes down in it.</summary>
    private bool TryStop()
    {
        KafkaBroker broker = _machine.Broker!;
        bool hasStopped = !_machine.Storage.IsDown && TryAwait(_machine.BeginStop());
        bool areAllOnline = hasStopped && _machine.Log!.Partitions.All(static partition => partition.OfflineReason is null);
        Require.That(!areAllOnline || broker.WasStoppedCleanly || _mayRefuse, "a broker that is asked to stop does so cleanly");
        return hasStopped;
    }

    /// <summary>Nothing is disturbed any more: whatever was begun comes to its end, and everything is as it was promised.</summary>
    private void Finish()
    {
        IsEnding = true;
        _isQuiet = true;
        _isServing = true;
        _machine.Storage.CrashAfter(long.MaxValue / 2);
        _machine.Storage.FailNoMore();
        _machine.Storage.FreeByteCount = long.MaxValue;
        _isDiskSlow = false;
        _mayRefuse = false;
        Serve();
        for (int number = 0; number < _running.Count; number++)
        {
            Await(_running[number]);
        }

        BringAllBack();
        KeepAll();
        Await(Begin(() => VerifyAsync(isAfterStart: false)));
        Require.That(TryStop(), "the broker stops");
        Inspect();
    }

    /// <summary>Whether what a partition that has come back has open may still be ended, by a record at its end.</summary>
    private bool AnyAwaitsSettlement => _machine.Log!.Partitions.Any(static partition => partition.AwaitsSettlement);

    /// <summary>Those too that no topic has any more, since the disk has stopped its deletion.</summary>
    private bool AreAllOnline => _machine.Log!.Partitions.All(static partition => partition.IsOnline);

    /// <summary>A check of the files finds nothing, whatever they have been through.</summary>
    private void Inspect()
    {
        if (_sabotage == BrokerSabotage.RotBits)
        {
            _machine.RotBit();
        }

        List<InspectionFinding> findings = [];
        LogInspection.Run(new LogDirectoryOptions { Path = SimulatedMachine.Root }, _machine.Storage, [], findings.Add);
        findings.RemoveAll(static finding => finding.IsNote);
        Require.That(findings.Count == 0, $"a check finds nothing, not: {string.Join(" ", findings)}");
    }

    private void Await(Task task) => Require.That(TryAwait(task), "nothing goes down that is not told to");

    /// <summary>Goes on until the task is done; false if the machine goes down meanwhile.</summary>
    private bool TryAwait(Task task)
    {
        try
        {
            for (int step = 0; !task.IsCompleted; step++)
            {
                Require.That(step < _maxStepsToRest, "what is begun comes to an end");
                Step();
            }
        }
        catch (SimulatedCrashException)
        {
            return false;
        }

        if (_machine.Storage.IsDown)
        {
            return false;
        }

        task.GetAwaiter().GetResult();
        return true;
    }

    /// <summary>Something that could happen next happens.</summary>
    private void Step()
    {
        StepCount++;
        if (_fault is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_fault);
        }

        int machine = _machine.Thread.HasWork ? 8 : 0;
        int programs = _programs.HasWork ? 6 : 0;
        int disk = _machine.Committer is { HasWork: true } ? (_isDiskSlow ? 1 : 4) : 0;
        int time = machine + programs + disk == 0 || !_isQuiet ? 1 : 0;
        int choice = _random.Next((machine + programs + disk + time) * 4);
        if (choice < machine * 4)
        {
            _machine.Thread.RunOne();
        }
        else if (choice < (machine + programs) * 4)
        {
            _programs.RunOne();
        }
        else if (choice < (machine + programs + disk) * 4)
        {
            _machine.Thread.Enter(_machine.Committer!.RunOne);
        }
        else
        {
            TimeSpan least = machine + programs + disk == 0 ? Clock.UntilNext ?? TimeSpan.Zero : TimeSpan.Zero;
            Clock.Advance(least + TimeSpan.FromMilliseconds(_random.Next(_isQuiet ? 2 : 30)));
        }

        Mix((ulong)choice);
        if (_machine.Storage.IsDown)
        {
            throw new SimulatedCrashException();
        }

        Watch();
    }

    private void Mix(ulong value) => _eventHash = ulong.RotateLeft((_eventHash ^ value) * 1099511628211, 29);
}
