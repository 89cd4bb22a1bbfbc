using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>
/// A program that reads, processes and writes in transactions, on a broker whose disk is simulated, while the one and the other crash. It goes on until all of its input is
/// processed, and then tells what of the output is wrong.
/// </summary>
internal sealed class ExactlyOnceRun(TransactionProtocol protocol, int seed)
{
    private const int RecordCount = 12;
    private const int OutputPartitionCount = 2;
    private const int MaxBrokerStarts = 20;

    private readonly Random _random = new(seed);
    private readonly List<string> _input = [.. Enumerable.Range(0, RecordCount).Select(static number => $"v{number}")];
    private SimulatedStorage _storage = new(seed) { BootId = "boot" };
    private KafkaBroker? _broker;

    /// <summary>The broker's machine goes down in the middle of this operation of its disk, counted from the end of the preparations; null: never.</summary>
    public int? BrokerCrashesAt { get; init; }

    public SimulatedCrashKind CrashKind { get; init; } = SimulatedCrashKind.PowerLoss;

    /// <summary>The program ends before it sends this request, and another one takes its place; null: never.</summary>
    public int? ClientCrashesAt { get; init; }

    /// <summary>A control: a disk that does not keep what it says that it keeps.</summary>
    public bool IsDiskLying { get; init; }

    /// <summary>A control: a program that commits its offsets outside of the transaction.</summary>
    public bool CommitsOutside { get; init; }

    /// <summary>Operations of the disk between the preparations and the end.</summary>
    public long OperationCount { get; private set; }

    /// <summary>Requests that the program sent.</summary>
    public int RequestCount { get; private set; }

    public int CrashCount { get; private set; }

    private TransactionProtocol Protocol => protocol;

    /// <summary>What is wrong with the output, or null.</summary>
    public async Task<string?> RunAsync()
    {
        try
        {
            await PrepareAsync();
            long before = _storage.OperationCount;
            Reader reader = new(this);
            for (int start = 0; start < MaxBrokerStarts; start++)
            {
                _broker ??= await StartAsync();
                if (_broker is not null && await reader.TryFinishAsync(_broker))
                {
                    OperationCount = _storage.OperationCount - before;
                    string? fault = await CheckAsync(_broker);
                    await _broker.StopAsync();
                    return fault;
                }

                if (!_storage.IsDown)
                {
                    return "The program does not come to an end, though nothing is down.";
                }

                Crash();
            }

            return $"The program did not end within {MaxBrokerStarts} starts of the broker.";
        }
        catch (BrokerStartException failure) when (IsDiskLying)
        {
            return failure.Message;
        }
    }

    private async Task PrepareAsync()
    {
        _storage.IgnoresFlushes = IsDiskLying;
        _broker = await StartAsync();
        await using TestClient client = new(_broker!.Connect());
        CreateTopicsRequest topics = new()
        {
            Topics =
            [
                new CreatableTopic { Name = "input", PartitionCount = 1, ReplicationFactor = 1 },
                new CreatableTopic { Name = "output", PartitionCount = OutputPartitionCount, ReplicationFactor = 1 },
            ],
        };
        await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(topics, 7);
        foreach (string value in _input)
        {
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("input", Batches.Of(value))).ErrorCode);
        }

        if (BrokerCrashesAt is int at)
        {
            _storage.CrashAfter(at);
        }
    }

    private async Task<KafkaBroker?> StartAsync()
    {
        BrokerOptions options = new() { DataDirectory = "/data", TransactionStateTopicPartitionCount = 2 };
        try
        {
            return await KafkaBroker.StartAsync(options, new MortalStorage(_storage), new ManualTime(), new RecordingLogs());
        }
        catch (Exception down) when (_storage.IsDown && down is BrokerStartException or IOException)
        {
            return null;
        }
    }

    private void Crash()
    {
        CrashCount++;
        _broker?.Abort();
        _broker = null;
        _storage = _storage.Crash(CrashKind);
        if (BrokerCrashesAt is not null && CrashCount < 4 && _random.Next(2) == 0)
        {
            // Crashes also strike the recovery from a crash.
            _storage.CrashAfter(_random.Next(60));
        }
    }

    private async Task<string?> CheckAsync(KafkaBroker broker)
    {
        await using TestClient client = new(broker.Connect());
        List<string> output = [];
        for (int partition = 0; partition < OutputPartitionCount; partition++)
        {
            List<string> values = await client.ReadCommittedAsync("output", partition);
            List<string> inOrder = [.. values.OrderBy(_input.IndexOf)];
            if (!values.SequenceEqual(inOrder))
            {
                return $"Partition {partition} has {string.Join(' ', values)}";
            }

            output.AddRange(values);
        }

        output.Sort(StringComparer.Ordinal);
        return output.SequenceEqual(_input.Order(StringComparer.Ordinal)) ? null : $"The output has {string.Join(' ', output)}";
    }

    /// <summary>The program.</summary>
    private sealed class Reader(ExactlyOnceRun run)
    {
        private const string Group = "group";
        private readonly TimeSpan _patience = run.IsDiskLying ? TimeSpan.FromSeconds(1) : TimeSpan.FromSeconds(30);
        private bool _hasCrashed;
        private bool _isStuck;

        /// <summary>False when the machine of the broker is down, or nothing goes on.</summary>
        public async Task<bool> TryFinishAsync(KafkaBroker broker)
        {
            await using TestClient client = new(broker.Connect());
            TransactionClient? previous = null;
            for (int attempt = 0; attempt < 50 && !_isStuck && !run._storage.IsDown; attempt++)
            {
                TransactionClient producer = new(client, "processor", run.Protocol);
                Outcome outcome = await ProcessAsync(client, producer);
                if (outcome == Outcome.Done)
                {
                    if (previous is not null)
                    {
                        // The program that had ended comes back to life, and cannot know it.
                        await previous.WriteAsync("output", "zombie");
                        await previous.EndAsync(isCommit: true);
                    }

                    return !run._storage.IsDown;
                }

                previous = outcome == Outcome.Crashed ? producer : previous;
            }

            return false;
        }

        private enum Outcome
        {
            Done,
            Failed,
            Crashed,
        }

        private async Task<Outcome> ProcessAsync(TestClient client, TransactionClient producer)
        {
            try
            {
                ErrorCode error;
                long start = TimeProvider.System.GetTimestamp();
                do
                {
                    // Where the disk has lied, what is there may be damaged, and the transaction of before waits for it for ever.
                    error = await StepAsync(() => producer.InitAsync());
                    _isStuck = error == ErrorCode.ConcurrentTransactions && TimeProvider.System.GetElapsedTime(start) > _patience;
                }
                while (error == ErrorCode.ConcurrentTransactions && !_isStuck);

                long offset = 0;
                while (error == ErrorCode.None)
                {
                    (error, offset) = await CommittedAsync(client);
                    if (error == ErrorCode.None && offset >= RecordCount)
                    {
                        return Outcome.Done;
                    }

                    error = error == ErrorCode.None ? await ProcessTwoAsync(client, producer, offset) : error;
                }

                return Outcome.Failed;
            }
            catch (ClientCrashException)
            {
                return Outcome.Crashed;
            }
        }

        private async Task<ErrorCode> ProcessTwoAsync(TestClient client, TransactionClient producer, long offset)
        {
            ErrorCode error = ErrorCode.None;
            for (long next = offset; next < offset + 2 && error == ErrorCode.None; next++)
            {
                FetchPartitionResponse fetched = await client.FetchAsync("input", next);
                string? value = fetched.ErrorCode == ErrorCode.None ? ValueAt(fetched.Records.GetValueOrDefault(), next) : null;
                int partition = (int)(next % OutputPartitionCount);
                error = value is null ? ErrorCode.KafkaStorageError : await StepAsync(() => producer.WriteAsync("output", value, partition));
            }

            if (error == ErrorCode.None)
            {
                error = await StepAsync(() => run.CommitsOutside
                    ? client.CommitAsync(GroupRequestsOfTests.Commit(Group, "input", offset + 2))
                    : producer.CommitOffsetAsync(Group, "input", offset + 2));
            }

            return error == ErrorCode.None ? await StepAsync(() => producer.EndAsync(isCommit: true)) : error;
        }

        private static string? ValueAt(ReadOnlyMemory<byte> batches, long offset)
        {
            foreach (Kafka.Records.Record record in batches.IsEmpty ? [] : RecordBatchReader.Read(batches))
            {
                if (record.Offset.Value == offset)
                {
                    return Encoding.UTF8.GetString(record.Value!.Value.Span);
                }
            }

            return null;
        }

        private static async Task<(ErrorCode Error, long Offset)> CommittedAsync(TestClient client)
        {
            OffsetFetchRequest request = new()
            {
                GroupId = Group, RequireStable = true, Topics = [new OffsetFetchTopic { Name = "input", Partitions = [0] }],
            };
            OffsetFetchResponse response = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 7);
            OffsetFetchPartitionResponse? partition = response.Topics.FirstOrDefault()?.Partitions[0];
            ErrorCode error = response.ErrorCode != ErrorCode.None ? response.ErrorCode : partition!.ErrorCode;
            return (error, Math.Max(partition?.CommittedOffset ?? 0, 0));
        }

        private async Task<ErrorCode> StepAsync(Func<Task<ErrorCode>> send)
        {
            if (!_hasCrashed && run.RequestCount == run.ClientCrashesAt)
            {
                _hasCrashed = true;
                throw new ClientCrashException();
            }

            run.RequestCount++;
            return await send();
        }
    }

    private sealed class ClientCrashException : Exception;
}
