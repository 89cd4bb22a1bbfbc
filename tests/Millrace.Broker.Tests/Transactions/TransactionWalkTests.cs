using System.Globalization;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Several producers at once take a random walk through their transactions, beside a model that says what a consumer of committed records has to see.</summary>
public sealed class TransactionWalkTests
{
    private const int SeedCount = 25;
    private const int StepCount = 60;

    private static readonly int Seeds =
        int.TryParse(Environment.GetEnvironmentVariable("MILLRACE_SIMULATION_SEEDS"), CultureInfo.InvariantCulture, out int seeds) ? seeds : SeedCount;

    [Fact]
    public async Task Committed_records_are_those_of_the_model_at_every_step()
    {
        for (int seed = 0; seed < Seeds; seed++)
        {
            string? fault = await new Walk(seed).RunAsync();
            Assert.True(fault is null, $"Seed {seed}: {fault}");
        }
    }

    [Fact]
    public async Task A_model_that_takes_aborted_records_for_committed_ones_does_not_agree()
    {
        int faultCount = 0;
        for (int seed = 0; seed < 3; seed++)
        {
            faultCount += await new Walk(seed) { ForgetsAborts = true }.RunAsync() is null ? 0 : 1;
        }

        Assert.True(faultCount > 0, "The check cannot fail.");
    }

    private enum Fate
    {
        Open,
        Committed,
        Aborted,
    }

    private sealed class Transaction
    {
        public Fate Fate { get; set; }
    }

    private sealed class Actor(string id, TransactionProtocol protocol)
    {
        public TransactionProtocol Protocol => protocol;

        public string Id => id;

        public TransactionClient? Client { get; set; }

        /// <summary>One that another has taken the place of.</summary>
        public TransactionClient? Zombie { get; set; }

        public Transaction? Open { get; set; }
    }

    private sealed class Walk(int seed)
    {
        private const int PartitionCount = 2;

        private readonly Random _random = new(seed);
        private readonly List<(string Value, Transaction Transaction)>[] _written = [.. Enumerable.Range(0, PartitionCount).Select(static _ => new List<(string, Transaction)>())];
        private readonly Actor[] _actors =
        [
            new("one", TransactionProtocol.Classic), new("two", TransactionProtocol.Implicit), new("three", TransactionProtocol.Implicit),
        ];

        private readonly long[] _stable = new long[PartitionCount];
        private SimulatedStorage _storage = new(seed) { BootId = "boot" };
        private ManualTime _time = new();
        private KafkaBroker _broker = null!;
        private TestClient _client = null!;
        private int _lastValue;

        public bool ForgetsAborts { get; init; }

        public async Task<string?> RunAsync()
        {
            await StartAsync();
            await _client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
                new CreateTopicsRequest { Topics = [new CreatableTopic { Name = "orders", PartitionCount = PartitionCount, ReplicationFactor = 1 }] }, 7);
            string? fault = null;
            for (int step = 0; step < StepCount && fault is null; step++)
            {
                fault = await StepAsync(_actors[_random.Next(_actors.Length)]) ?? await CheckAsync();
                fault = fault is null ? null : $"step {step}, {fault}";
            }

            await _client.DisposeAsync();
            await _broker.StopAsync();
            return fault;
        }

        private async Task<string?> StepAsync(Actor actor)
        {
            int dice = _random.Next(100);
            return actor.Client is null || dice < 6 ? await RenewAsync(actor)
                : dice < 60 ? await WriteAsync(actor)
                : dice < 82 ? await EndAsync(actor)
                : dice < 90 ? await DisturbAsync(actor)
                : dice < 94 ? await TimeOutAsync()
                : dice < 97 ? await RestartAsync(isKilled: dice == 94)
                : await LosePowerAsync();
        }

        private async Task<string?> RenewAsync(Actor actor)
        {
            actor.Zombie = actor.Client ?? actor.Zombie;
            actor.Client = new TransactionClient(_client, actor.Id, actor.Protocol);
            await actor.Client.InitUntilDoneAsync();
            GiveUp(actor);
            return null;
        }

        private async Task<string?> WriteAsync(Actor actor)
        {
            int partition = _random.Next(PartitionCount);
            string value = $"{actor.Id}-{++_lastValue}";
            ErrorCode error = await actor.Client!.WriteAsync("orders", value, partition);
            if (error != ErrorCode.None)
            {
                return $"{actor.Id} may not write: {error}";
            }

            actor.Open ??= new Transaction();
            _written[partition].Add((value, actor.Open));
            return null;
        }

        private async Task<string?> EndAsync(Actor actor)
        {
            bool isCommit = _random.Next(3) > 0;
            ErrorCode error = await actor.Client!.EndAsync(isCommit);
            bool isAllowed = actor.Open is not null || (!isCommit && actor.Protocol == TransactionProtocol.Implicit);
            if (isAllowed != (error == ErrorCode.None) && !(error == ErrorCode.None && actor is { Open: null, Protocol: TransactionProtocol.Classic }))
            {
                return $"{actor.Id} ends with {(isCommit ? "commit" : "abort")}: {error}";
            }

            if (actor.Open is { } ended)
            {
                ended.Fate = isCommit || ForgetsAborts ? Fate.Committed : Fate.Aborted;
                actor.Open = null;
            }

            return null;
        }

        /// <summary>Somebody whose time is over tries to write, and to end what is not his.</summary>
        private async Task<string?> DisturbAsync(Actor actor)
        {
            if (actor.Zombie is not { } zombie)
            {
                return null;
            }

            ErrorCode written = await zombie.ProduceAsync("orders", _random.Next(PartitionCount), "zombie");
            ErrorCode ended = await zombie.EndAsync(isCommit: _random.Next(2) == 0);
            return written == ErrorCode.None || ended == ErrorCode.None ? $"the predecessor of {actor.Id} is served: {written}, {ended}" : null;
        }

        private async Task<string?> TimeOutAsync()
        {
            _time.Advance(TimeSpan.FromSeconds(61));
            foreach (Actor actor in _actors.Where(static actor => actor.Open is not null))
            {
                // The coordinator has the decision written, and nobody waits for that: the producer is refused from the first moment on.
                ErrorCode ended;
                do
                {
                    ended = await actor.Client!.EndAsync(isCommit: true);
                }
                while (ended == ErrorCode.ConcurrentTransactions);

                if (ended != ErrorCode.ProducerFenced)
                {
                    return $"{actor.Id} ends when its time is over: {ended}";
                }

                Dismiss(actor);
            }

            return null;
        }

        /// <summary>The broker stops, or its process ends; either way nothing is lost.</summary>
        private async Task<string?> RestartAsync(bool isKilled)
        {
            Actor[] clients = [.. _actors.Where(static actor => actor.Client is not null)];
            await _client.DisposeAsync();
            if (isKilled)
            {
                _broker.Abort();
                _storage = _storage.Crash(SimulatedCrashKind.ProcessKill);
            }
            else
            {
                await _broker.StopAsync();
            }

            await StartAsync();
            foreach (Actor actor in clients)
            {
                // The same program on a new connection.
                actor.Client = actor.Client!.On(_client);
                actor.Zombie = actor.Zombie?.On(_client);
            }

            return null;
        }

        private async Task<string?> LosePowerAsync()
        {
            await _client.DisposeAsync();
            _broker.Abort();
            _storage = _storage.Crash(SimulatedCrashKind.PowerLoss);
            await StartAsync();
            foreach (Actor actor in _actors.Where(static actor => actor.Client is not null))
            {
                actor.Client = actor.Client!.On(_client);
                if (await actor.Client.ProduceAsync("orders", 0, "zombie") == ErrorCode.None)
                {
                    return $"{actor.Id} is served after the loss of power";
                }

                Dismiss(actor);
            }

            _stable.AsSpan().Clear();
            return null;
        }

        private async Task<string?> CheckAsync()
        {
            for (int partition = 0; partition < PartitionCount; partition++)
            {
                List<string> expected = [.. _written[partition]
                    .TakeWhile(static record => record.Transaction.Fate != Fate.Open)
                    .Where(static record => record.Transaction.Fate == Fate.Committed)
                    .Select(static record => record.Value)];
                List<string> actual = await _client.ReadCommittedAsync("orders", partition);
                if (!expected.SequenceEqual(actual))
                {
                    return $"partition {partition} has {string.Join(' ', actual)}, the model {string.Join(' ', expected)}";
                }

                PartitionLog log = _broker.Topics.Find(new Kafka.Records.TopicPartition("orders", partition))!;
                if (log.LastStableOffset.Value < _stable[partition])
                {
                    return $"the last stable offset of partition {partition} fell from {_stable[partition]} to {log.LastStableOffset.Value}";
                }

                _stable[partition] = log.LastStableOffset.Value;
            }

            return null;
        }

        private static void GiveUp(Actor actor)
        {
            if (actor.Open is { } open)
            {
                open.Fate = Fate.Aborted;
                actor.Open = null;
            }
        }

        private static void Dismiss(Actor actor)
        {
            GiveUp(actor);
            actor.Zombie = actor.Client;
            actor.Client = null;
        }

        private async Task StartAsync()
        {
            BrokerOptions options = new() { DataDirectory = "/data", TransactionStateTopicPartitionCount = 2 };
            _time = new ManualTime();
            _broker = await KafkaBroker.StartAsync(options, new MortalStorage(_storage), _time, new RecordingLogs());
            _client = new TestClient(_broker.Connect());
        }
    }
}
