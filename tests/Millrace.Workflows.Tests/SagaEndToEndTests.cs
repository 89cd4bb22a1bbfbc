using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Workflows.Tests;

/// <summary>Sagas on the embedded log, with services that answer their commands.</summary>
public sealed class SagaEndToEndTests : IDisposable
{
    private static readonly TimeSpan s_patience = TestBroker.Patience;

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("millrace-sagas-");
    private readonly ConcurrentQueue<string> _handled = new();
    // In place of the embedded log, where the tests are to run against a cluster.
    private readonly Lazy<TestBroker> _cluster = new(() => TestBroker.StartAsync().GetAwaiter().GetResult());

    public void Dispose()
    {
        if (_cluster.IsValueCreated)
        {
            _cluster.Value.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }

        _directory.Delete(recursive: true);
    }

    [Fact]
    public async Task A_saga_runs_through_its_services_to_its_end()
    {
        using IHost host = await StartAsync();
        ISagaClient sagas = Sagas(host);

        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "lake"));

        Assert.Equal(SagaState.Completed, (await EndAsync(sagas, "trip-1")).State);
        Assert.Equal(["book-hotel trip-1", "book-flight trip-1", "confirm trip-1"], _handled);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_rejection_undoes_the_steps_before_it()
    {
        using IHost host = await StartAsync();
        ISagaClient sagas = Sagas(host);

        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "moon"));
        SagaStatus status = await EndAsync(sagas, "trip-1");

        Assert.Equal(SagaState.Compensated, status.State);
        Assert.Equal("Step 'flight' was rejected: no-such-place.", status.Reason);
        Assert.Equal(["book-hotel trip-1", "book-flight trip-1", "cancel-hotel trip-1"], _handled);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_dead_lettered_step_is_undone_since_it_may_have_happened()
    {
        using IHost host = await StartAsync();
        ISagaClient sagas = Sagas(host);

        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "broken"));

        Assert.Equal(SagaState.Compensated, (await EndAsync(sagas, "trip-1")).State);
        Assert.Equal(["cancel-flight trip-1", "cancel-hotel trip-1"], _handled.Skip(_handled.Count - 2));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_second_start_with_the_same_id_changes_nothing()
    {
        using IHost host = await StartAsync();
        ISagaClient sagas = Sagas(host);
        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "lake"));
        await EndAsync(sagas, "trip-1");

        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "moon"));
        await sagas.StartAsync<TripSaga>("trip-2", new Trip("trip-2", "lake"));
        await EndAsync(sagas, "trip-2");

        Assert.Equal(SagaState.Completed, sagas.Find<TripSaga>("trip-1")!.State);
        Assert.Equal(3, _handled.Count(line => line.EndsWith("trip-1", StringComparison.Ordinal)));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_host_that_starts_again_goes_on_where_the_last_one_was()
    {
        var gate = new TaskCompletionSource();
        var arrived = new TaskCompletionSource();
        using (IHost first = await StartAsync(flight: async token =>
        {
            arrived.TrySetResult();
            await gate.Task.WaitAsync(token);
        }))
        {
            await Sagas(first).StartAsync<TripSaga>("trip-1", new Trip("trip-1", "lake"));
            await arrived.Task.WaitAsync(s_patience);
            Assert.Equal(["flight"], Sagas(first).Find<TripSaga>("trip-1")!.WaitsFor);
            await first.StopAsync();
        }

        using IHost second = await StartAsync();

        Assert.Equal(SagaState.Completed, (await EndAsync(Sagas(second), "trip-1")).State);
        Assert.Equal(1, _handled.Count(line => line == "book-hotel trip-1"));
        await second.StopAsync();
    }

    [Fact]
    public async Task The_history_is_in_the_log_for_any_client_to_read()
    {
        using IHost host = await StartAsync(listen: "127.0.0.1:0");
        ISagaClient sagas = Sagas(host);
        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "moon"));
        await EndAsync(sagas, "trip-1");

        List<ConsumerRecord> records = await ReadHistoryAsync(host);

        Assert.StartsWith("owner@1@", Encoding.UTF8.GetString(records[0].Key!.Value.Span), StringComparison.Ordinal);
        Assert.Equal(
            [.. Enumerable.Range(0, 9).Select(sequence => $"trip-1/{sequence:D8}@1")],
            records.Skip(1).Select(record => Encoding.UTF8.GetString(record.Key!.Value.Span)));
        Assert.Equal("{\"epoch\":1}", Encoding.UTF8.GetString(records[0].Value!.Value.Span));
        Assert.Contains("\"event\":\"started\"", Encoding.UTF8.GetString(records[1].Value!.Value.Span), StringComparison.Ordinal);
        Assert.Contains("\"state\":\"Compensated\"", Encoding.UTF8.GetString(records[^1].Value!.Value.Span), StringComparison.Ordinal);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_reply_with_a_status_that_does_not_exist_answers_nothing()
    {
        var gate = new TaskCompletionSource();
        var arrived = new TaskCompletionSource();
        using IHost host = await StartAsync(listen: "127.0.0.1:0", flight: async token =>
        {
            arrived.TrySetResult();
            await gate.Task.WaitAsync(token);
        });
        ISagaClient sagas = Sagas(host);
        await sagas.StartAsync<TripSaga>("trip-1", new Trip("trip-1", "lake"));
        await arrived.Task.WaitAsync(s_patience);

        await using (KafkaClient client = Connect(host))
        {
            await using KafkaProducer producer = client.CreateProducer();
            await producer.ProduceAsync(new ProducerRecord
            {
                Topic = "trip.inbox",
                Key = "trip-1"u8.ToArray(),
                Value = "null"u8.ToArray(),
                Headers =
                [
                    new RecordHeader("ce_type", Encoding.UTF8.GetBytes(ReplyHeaders.ReplyType)),
                    new RecordHeader("ce_causationid", "trip/trip-1/1"u8.ToArray()),
                    new RecordHeader(ReplyHeaders.Status, "7"u8.ToArray()),
                ],
            });
        }

        gate.SetResult();
        Assert.Equal(SagaState.Completed, (await EndAsync(sagas, "trip-1")).State);
        await host.StopAsync();
    }

    [Fact]
    public async Task Topics_with_another_partition_count_are_refused_at_start()
    {
        using (IHost host = await StartAsync(partitionCount: 2))
        {
            await host.StopAsync();
        }

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync(partitionCount: 3));

        Assert.Contains("trip.inbox", failure.Message, StringComparison.Ordinal);
        Assert.Contains("2", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1_001)]
    public async Task A_partition_count_that_a_saga_cannot_have_is_refused_by_the_name_that_was_set(int partitionCount)
    {
        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync(partitionCount: partitionCount));

        Assert.Contains($"SagaOptions.PartitionCount is {partitionCount}. Set it from 1 to 1000", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_start_without_a_registration_or_with_another_input_says_so()
    {
        using IHost host = await StartAsync();
        ISagaClient sagas = Sagas(host);

        MillraceConfigurationException unknown =
            await Assert.ThrowsAsync<MillraceConfigurationException>(() => sagas.StartAsync<OrderSaga>("1", new Order(1)));
        ArgumentException wrongInput = await Assert.ThrowsAsync<ArgumentException>(() => sagas.StartAsync<TripSaga>("1", "text"));

        Assert.Contains("AddSaga<OrderSaga>()", unknown.Message, StringComparison.Ordinal);
        Assert.Contains("takes a Trip", wrongInput.Message, StringComparison.Ordinal);
        await host.StopAsync();
    }

    private static ISagaClient Sagas(IHost host) => host.Services.GetRequiredService<ISagaClient>();

    private static Task<SagaStatus> EndAsync(ISagaClient sagas, string id) => sagas.WaitAsync<TripSaga>(id).WaitAsync(s_patience);

    private static KafkaClient Connect(IHost host) => host.Services.GetService<TestBroker>()?.CreateClient() ?? new(
        new KafkaClientOptions { BootstrapServers = host.Services.GetRequiredService<EmbeddedBroker>().ListenEndPoint!.ToString()! },
        TimeProvider.System,
        Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);

    private static async Task<List<ConsumerRecord>> ReadHistoryAsync(IHost host)
    {
        await using KafkaClient client = Connect(host);
        var partition = new TopicPartition("trip.inbox.state", 0);
        Offset end = (await client.Admin.ListOffsetsAsync([partition], OffsetSpec.Latest))[partition];
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions());
        consumer.Assign([new TopicPartitionOffset(partition, Offset.Zero)]);
        List<ConsumerRecord> records = [];
        while (records.Count < end.Value)
        {
            records.AddRange(await consumer.PollAsync());
        }

        return records;
    }

    private async Task<IHost> StartAsync(Func<CancellationToken, Task>? flight = null, int partitionCount = 1, string? listen = null)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "Travel" });
        builder.AddMillrace(millrace =>
        {
            UseLog(millrace, listen);
            millrace.Configure(options => options.DrainTimeout = TimeSpan.FromMilliseconds(100));
            millrace.AddSaga<TripSaga>(options => options.PartitionCount = partitionCount);
            millrace.AddEndpoint("travel", endpoint =>
            {
                endpoint.Failures.OnAnyException().Retry(1, Backoff.Exponential(TimeSpan.FromMilliseconds(1))).ThenDeadLetter();
                endpoint.Handle<BookHotel>((command, _, _) => Record($"book-hotel {command.Id}"));
                endpoint.Handle<CancelHotel>((command, _, _) => Record($"cancel-hotel {command.Id}"));
                endpoint.Handle<CancelFlight>((command, _, _) => Record($"cancel-flight {command.Id}"));
                endpoint.Handle<Confirm>((command, _, _) => Record($"confirm {command.Id}"));
                endpoint.AddHandlers<FlightHandlers>();
            });
        });
        builder.Services.AddSingleton(new FlightHandlers(_handled, flight ?? (_ => Task.CompletedTask)));
        IHost host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private void UseLog(MillraceBuilder millrace, string? listen)
    {
        if (TestCluster.IsExternal)
        {
            TestBroker cluster = _cluster.Value;
            millrace.Services.AddSingleton(cluster);
            millrace.UseLog((_, _) => Task.FromResult(new LogConnection(cluster.CreateClientOptions())));
            return;
        }

        millrace.UseEmbedded(options =>
        {
            options.DataDirectory = Path.Combine(_directory.FullName, "data");
            options.Listen = listen;
        });
    }

    private Task Record(string line)
    {
        _handled.Enqueue(line);
        return Task.CompletedTask;
    }
}

public sealed class FlightHandlers(ConcurrentQueue<string> handled, Func<CancellationToken, Task> before)
{
    public async Task<Reply<Ticket>> HandleAsync(BookFlight command, MessageContext context, CancellationToken cancellationToken)
    {
        await before(cancellationToken);
        handled.Enqueue($"book-flight {command.Id}");
        return command.Place switch
        {
            "moon" => Reply.Reject("no-such-place"),
            "broken" => throw new InvalidOperationException("the airline does not answer"),
            _ => new Ticket($"ticket-{command.Id}"),
        };
    }
}

public sealed record Trip(string Id, string Place);

public sealed record Ticket(string Number);

[Command("travel.book-hotel")]
public sealed record BookHotel([property: MessageKey] string Id);

[Command("travel.cancel-hotel")]
public sealed record CancelHotel([property: MessageKey] string Id);

[Command("travel.book-flight")]
public sealed record BookFlight([property: MessageKey] string Id, string Place) : ICommand<Ticket>;

[Command("travel.cancel-flight")]
public sealed record CancelFlight([property: MessageKey] string Id);

[Command("travel.confirm")]
public sealed record Confirm([property: MessageKey] string Id, string Ticket);

[Saga("trip")]
public sealed class TripSaga : Saga<Trip, string>
{
    protected override async Task<string> RunAsync(Trip input, SagaContext saga)
    {
        await saga.StepAsync("hotel", new BookHotel(input.Id), undo: new CancelHotel(input.Id));
        Ticket ticket = await saga.StepAsync("flight", new BookFlight(input.Id, input.Place), undo: new CancelFlight(input.Id));
        await saga.PivotAsync("confirm", new Confirm(input.Id, ticket.Number));
        return ticket.Number;
    }
}
