using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Interop.Tests.Mock;
using Millrace.Kafka;
using Millrace.Kafka.Records;
using Millrace.Kafka.Tests;

namespace Millrace.Workflows.Tests;

/// <summary>Several processes of one application on one log: what one leaves, another goes on with, and only one counts.</summary>
public sealed class TakeoverTests
{
    /// <summary>
    /// Longer than the mock cluster lets a new group's first members wait (3 s): one whose session ends meanwhile is removed, and its join is never answered.
    /// </summary>
    private static readonly TimeSpan s_sessionOnMock = TimeSpan.FromSeconds(6);

    private readonly ConcurrentQueue<string> _handled = new();
    private readonly ConcurrentQueue<string> _logs = new();

    [Fact]
    public async Task The_sagas_of_a_process_that_is_cut_off_are_ended_by_another()
    {
        await using TestBroker log = await StartLogAsync();
        var network = new CuttableConnector(log);
        using IHost first = await StartAsync(Through(log, network), partitionCount: 4);
        using IHost second = await StartAsync(log.CreateClientOptions(), partitionCount: 4);
        await Until.TrueAsync(() => IsShared(first) && IsShared(second), "both processes having partitions");
        string[] ids = [.. Enumerable.Range(0, 40).Select(number => $"trip-{number}")];
        ISagaClient sagas = second.Services.GetRequiredService<ISagaClient>();
        await Task.WhenAll(ids[..20].Select(id => sagas.StartAsync<TripSaga>(id, new Trip(id, "lake"))));
        await Until.TrueAsync(() => _handled.Count > 10, "some steps");

        network.Cut();
        await Task.WhenAll(ids[20..].Select(id => sagas.StartAsync<TripSaga>(id, new Trip(id, "lake"))));

        await Until.TrueAsync(() => ids.All(id => sagas.Find<TripSaga>(id)?.State == SagaState.Completed), "every saga's end, in the process that is left");
        // Each step once or more often, and none that was not asked for.
        Assert.Equal(ids.Length * 3, _handled.Distinct().Count());
        network.Mend();
        await second.StopAsync();
        await first.StopAsync();
    }

    [Fact]
    public async Task What_comes_late_from_an_owner_of_before_changes_no_saga()
    {
        await using TestBroker log = await StartLogAsync();
        var waiting = new TaskCompletionSource();
        using (IHost first = await StartAsync(log.CreateClientOptions(), partitionCount: 1, flight: token => HoldAsync(waiting, token)))
        {
            await first.Services.GetRequiredService<ISagaClient>().StartAsync<TripSaga>("trip-1", new Trip("trip-1", "lake"));
            await waiting.Task.WaitAsync(TestBroker.Patience);
            await first.StopAsync();
        }

        waiting = new TaskCompletionSource();
        using (IHost second = await StartAsync(log.CreateClientOptions(), partitionCount: 1, flight: token => HoldAsync(waiting, token)))
        {
            await waiting.Task.WaitAsync(TestBroker.Patience);
            // The command may come again before its saga is taken over.
            await Until.TrueAsync(async () => (await ReadAsync(log)).Exists(static record => record.Value == "{\"epoch\":2}"), "the second owner");

            // The flight is refused, says the first owner, which was on its way for long.
            await WriteAsync(log, "trip-1/00000004@1", """{"event":"step-replied","at":"2026-01-01T00:00:00Z","step":1,"status":"Rejected","reason":"late"}""");
            await second.StopAsync();
        }

        using IHost third = await StartAsync(log.CreateClientOptions(), partitionCount: 1);
        SagaStatus status = await third.Services.GetRequiredService<ISagaClient>().WaitAsync<TripSaga>("trip-1").WaitAsync(TestBroker.Patience);

        Assert.Equal(SagaState.Completed, status.State);
        List<(string Key, string? Value)> records = await ReadAsync(log);
        Assert.Equal(
            ["{\"epoch\":1}", "{\"epoch\":2}", "{\"epoch\":3}"],
            records.Where(record => record.Key.StartsWith("owner@", StringComparison.Ordinal)).Select(record => record.Value));
        Assert.Contains(_logs, line => line.Contains("1 records of trip.inbox.state-0 do not count", StringComparison.Ordinal));
        await third.StopAsync();
    }

    [Fact]
    public async Task A_process_that_was_taken_over_and_does_not_know_it_sends_no_more_commands()
    {
        await using TestBroker log = await StartLogAsync();
        var waiting = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        using IHost first = await StartAsync(log.CreateClientOptions(), partitionCount: 1, flight: async token =>
        {
            waiting.TrySetResult();
            await gate.Task.WaitAsync(token);
        });
        await first.Services.GetRequiredService<ISagaClient>().StartAsync<TripSaga>("trip-1", new Trip("trip-1", "lake"));
        await waiting.Task.WaitAsync(TestBroker.Patience);

        // As another process does that has got the partition.
        await WriteAsync(log, "owner@7@another", """{"epoch":7}""");
        gate.SetResult();
        await Until.TrueAsync(() => _logs.Any(line => line.Contains("Another process has taken trip.inbox.state-0 over", StringComparison.Ordinal)), "the first process noticing");
        await first.StopAsync();
        Assert.DoesNotContain("confirm trip-1", _handled);

        using IHost second = await StartAsync(log.CreateClientOptions(), partitionCount: 1);
        SagaStatus status = await second.Services.GetRequiredService<ISagaClient>().WaitAsync<TripSaga>("trip-1").WaitAsync(TestBroker.Patience);
        Assert.Equal(SagaState.Completed, status.State);
        Assert.Contains("confirm trip-1", _handled);
        await second.StopAsync();
    }

    [Theory]
    [InlineData("leaders move")]
    [InlineData("brokers die")]
    [InlineData("requests fail")]
    public async Task On_three_brokers_that_fail_in_turn_every_saga_ends(string what)
    {
        const int rounds = 3, sagasPerRound = 10, partitionCount = 4;
        await using MockCluster cluster = await MockCluster.StartAsync();
        string[] topics = ["trip.inbox", "trip.inbox.state", "trip.watch", "travel.commands", "travel.dead-letters"];
        foreach (string topic in topics)
        {
            await cluster.CreateTopicAsync(topic, partitionCount);
        }

        using IHost first = await StartAsync(OnMock(cluster), partitionCount, sessionTimeout: s_sessionOnMock);
        using IHost second = await StartAsync(OnMock(cluster), partitionCount, sessionTimeout: s_sessionOnMock);
        ISagaClient one = first.Services.GetRequiredService<ISagaClient>(), other = second.Services.GetRequiredService<ISagaClient>();
        MockFaults[] faults = [.. topics.Select((topic, seed) => new MockFaults(cluster, topic, partitionCount, seed))];
        List<string> ids = [];
        for (int round = 0; round < rounds; round++)
        {
            string[] started = [.. Enumerable.Range(ids.Count, sagasPerRound).Select(number => $"trip-{number}")];
            ids.AddRange(started);
            Task starting = Task.WhenAll(started.Select((id, number) => (number % 2 == 0 ? one : other).StartAsync<TripSaga>(id, new Trip(id, number % 3 == 0 ? "moon" : "lake"))));
            foreach (MockFaults fault in faults)
            {
                await (what switch
                {
                    "leaders move" => fault.MoveLeadersAsync(),
                    "brokers die" => fault.KillBrokerAsync(),
                    _ => Task.WhenAll(fault.RefuseRecordsAsync(), fault.RefuseFetchesAsync(), fault.RefuseLookUpsAsync()),
                });
            }

            await starting;
            await Until.TrueAsync(() => ids.TrueForAll(id => Ended(one, id) || Ended(other, id)), $"the end of all sagas after round {round}, when {what}");
        }

        Assert.Equal(ids.Where((_, number) => number % sagasPerRound % 3 != 0).Order(), _handled.Where(line => line.StartsWith("confirm ", StringComparison.Ordinal)).Select(line => line[8..]).Distinct().Order());
        Assert.Equal(ids.Where((_, number) => number % sagasPerRound % 3 == 0).Order(), _handled.Where(line => line.StartsWith("cancel-hotel ", StringComparison.Ordinal)).Select(line => line[13..]).Distinct().Order());
        await Task.WhenAll(first.StopAsync(), second.StopAsync());

        static bool Ended(ISagaClient sagas, string id) => sagas.Find<TripSaga>(id)?.State is SagaState.Completed or SagaState.Compensated;
    }

    private static KafkaClientOptions OnMock(MockCluster cluster) => new() { BootstrapServers = cluster.Address, RequestTimeout = TimeSpan.FromSeconds(5) };

    private static Task<TestBroker> StartLogAsync() =>
        TestBroker.StartAsync(configure: options => options.GroupMinSessionTimeout = TimeSpan.FromMilliseconds(100));

    private static bool IsShared(IHost host) => host.Services.GetRequiredService<Partitions>().Count is > 0 and < 4;

    private static async Task HoldAsync(TaskCompletionSource waiting, CancellationToken cancellationToken)
    {
        waiting.TrySetResult();
        await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
    }

    private static async Task WriteAsync(TestBroker log, string key, string value)
    {
        await using KafkaClient client = log.CreateClient();
        await using KafkaProducer producer = client.CreateProducer();
        await producer.ProduceAsync(
            new ProducerRecord { Topic = "trip.inbox.state", Partition = 0, Key = Encoding.UTF8.GetBytes(key), Value = Encoding.UTF8.GetBytes(value) },
            Until.Timeout());
    }

    private static async Task<List<(string Key, string? Value)>> ReadAsync(TestBroker log)
    {
        await using KafkaClient client = log.CreateClient();
        var partition = new TopicPartition("trip.inbox.state", 0);
        Offset end = (await client.Admin.ListOffsetsAsync([partition], OffsetSpec.Latest))[partition];
        await using KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([new TopicPartitionOffset(partition, Offset.Zero)]);
        List<(string, string?)> records = [];
        while (records.Count < end.Value)
        {
            records.AddRange((await consumer.PollAsync(cancellationToken: Until.Timeout())).Select(record =>
                (Encoding.UTF8.GetString(record.Key!.Value.Span), record.Value is { } value ? Encoding.UTF8.GetString(value.Span) : null)));
        }

        return records;
    }

    private static KafkaClientOptions Through(TestBroker log, IKafkaConnector network)
    {
        KafkaClientOptions client = log.CreateClientOptions();
        client.Connector = network;
        return client;
    }

    private async Task<IHost> StartAsync(KafkaClientOptions client, int partitionCount, Func<CancellationToken, Task>? flight = null, TimeSpan? sessionTimeout = null)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "Travel" });
        builder.Logging.AddProvider(new RecordingLoggers(_logs));
        builder.Services.AddSingleton(new FlightHandlers(_handled, flight ?? (_ => Task.CompletedTask)));
        builder.AddMillrace(millrace =>
        {
            millrace.UseLog((_, _) => Task.FromResult(new LogConnection(client)));
            millrace.Configure(options =>
            {
                options.TopicPartitionCount = partitionCount;
                options.DrainTimeout = TimeSpan.FromMilliseconds(100);
                (options.SessionTimeout, options.HeartbeatInterval) = (sessionTimeout ?? TestBroker.SessionTimeout, TimeSpan.FromMilliseconds(100));
            });
            millrace.AddSaga<TripSaga>(options => options.PartitionCount = partitionCount);
            millrace.AddProcessor(new ProcessorOptions
            {
                Name = "watch",
                Topic = "trip.watch",
                PartitionCount = partitionCount,
                Create = services => services.Services.GetRequiredService<Partitions>(),
            });
            millrace.AddEndpoint("travel", endpoint =>
            {
                endpoint.Handle<BookHotel>((command, _, _) => Record($"book-hotel {command.Id}"));
                endpoint.Handle<CancelHotel>((command, _, _) => Record($"cancel-hotel {command.Id}"));
                endpoint.Handle<CancelFlight>((command, _, _) => Record($"cancel-flight {command.Id}"));
                endpoint.Handle<Confirm>((command, _, _) => Record($"confirm {command.Id}"));
                endpoint.AddHandlers<FlightHandlers>();
            });
        });
        builder.Services.AddSingleton<Partitions>();
        IHost host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private Task Record(string line)
    {
        _handled.Enqueue(line);
        return Task.CompletedTask;
    }

    private sealed class RecordingLoggers(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(formatter(state, exception));

        public void Dispose()
        {
            // The lines are the test's.
        }
    }

    /// <summary>Counts the partitions that its process has, of a topic that nobody writes to.</summary>
    private sealed class Partitions : PartitionProcessor
    {
        private int _count;

        public int Count => Volatile.Read(ref _count);

        public override ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _count);
            return ValueTask.CompletedTask;
        }

        public override void OnReleased(TopicPartition partition) => Interlocked.Decrement(ref _count);

        public override Task ProcessAsync(ConsumerRecord record, CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
