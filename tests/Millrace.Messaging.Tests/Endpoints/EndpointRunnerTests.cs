using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

/// <summary>An endpoint whose broker, or whose surroundings, do what they rarely do.</summary>
public sealed class EndpointRunnerTests : IDisposable
{
    private readonly TestApplication _application = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task What_an_early_commit_passes_while_the_host_stops_is_handled()
    {
        TaskCompletionSource committed = new(TaskCreationOptions.RunContinuationsAsynchronously), mayAnswer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        // The clock tells that the stop has reached the poll: whatever ends the waiting for the log then takes five seconds at most.
        TimerWatch time = new(TimeSpan.FromSeconds(5));
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Configure(options => options.InfrastructureTime = time);
            millrace.Intercept(async answer =>
            {
                if (answer.Api != ApiKey.OffsetCommit) return;
                committed.TrySetResult();
                await mayAnswer.Task;
            });
            AddAtMostOnce(millrace, seen);
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await committed.Task.WaitAsync(TestApplication.Patience);

        // The broker has the commit, and the endpoint has not heard of it.
        time.Rearm();
        Task stop = host.StopAsync();
        await time.TimerSet.WaitAsync(TestApplication.Patience);
        mayAnswer.SetResult();
        await stop;
        Assert.Equal([1], seen.Items);
    }

    [Fact]
    public async Task What_an_early_commit_is_refused_for_is_read_again()
    {
        int refusals = 0;
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Intercept(answer =>
            {
                // A flexible answer ends with the error of its one partition and three empty tag sections.
                if (answer.Api == ApiKey.OffsetCommit && answer.Version >= 8 && Interlocked.Increment(ref refusals) == 1)
                    answer.SetErrorFromEnd(ErrorCode.RebalanceInProgress, offset: 5);
                return Task.CompletedTask;
            });
            AddAtMostOnce(millrace, seen);
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await host.Bus().PublishAsync(new Numbered("a", 2));

        Assert.Equal([1, 2], await seen.WaitAsync(2));
        Assert.True(refusals > 1);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_commit_that_the_group_refuses_is_tried_again_with_no_further_record()
    {
        int commits = 0;
        TaskCompletionSource triedAgain = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Intercept(answer =>
            {
                if (answer.Api != ApiKey.OffsetCommit) return Task.CompletedTask;
                // A flexible answer ends with the error of its one partition and three empty tag sections. The consumer itself does not wait this one out.
                if (Interlocked.Increment(ref commits) == 1) answer.SetErrorFromEnd(ErrorCode.UnknownMemberId, offset: 5);
                else triedAgain.TrySetResult();
                return Task.CompletedTask;
            });
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(_ => { }));
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));

        await triedAgain.Task.WaitAsync(TestApplication.Patience);
        Assert.Contains(_application.Logs, line => line.Contains("was refused, since its group is rebalancing", StringComparison.Ordinal));
        await host.StopAsync();
    }

    [Fact]
    public async Task An_endpoint_whose_group_refused_it_for_good_joins_again()
    {
        int joins = 0;
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Intercept(answer =>
            {
                // Correlation id, an empty tag section, the throttle time, and then the error.
                if (answer.Api == ApiKey.JoinGroup && answer.Version >= 6 && Interlocked.Increment(ref joins) == 1)
                    answer.SetError(ErrorCode.GroupAuthorizationFailed, offset: 9);
                return Task.CompletedTask;
            });
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => seen.Add(message.Number)));
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));

        Assert.Equal([1], await seen.WaitAsync(1));
        Assert.True(joins > 1);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_listener_of_the_meter_that_fails_has_no_message_handled_again()
    {
        using MeterListener listener = new()
        {
            InstrumentPublished = static (instrument, listening) =>
            {
                if (instrument.Meter.Name == "Millrace.Messaging") listening.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>(static (_, _, tags, _) => Fail(tags));
        listener.SetMeasurementEventCallback<double>(static (_, _, tags, _) => Fail(tags));
        listener.Start();
        await AssertEachIsHandledAsync("unmeasured", configureHost: null);

        static void Fail(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            // Of this test's endpoint, and not of those that run beside it.
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                if (tag.Value is "unmeasured") throw new InvalidOperationException("The listener failed.");
            }
        }
    }

    [Fact]
    public Task A_logger_that_fails_stops_no_endpoint() =>
        AssertEachIsHandledAsync("unlogged", builder => builder.Logging.AddProvider(new FailingLoggerProvider()));

    private async Task AssertEachIsHandledAsync(string endpointName, Action<HostApplicationBuilder>? configureHost)
    {
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(
            millrace => millrace.AddEndpoint(endpointName, endpoint => endpoint.Handle<Numbered>(message =>
            {
                seen.Add(message.Number);
                if (seen.Items.Count == 1) throw new InvalidOperationException("The first attempt fails.");
            })),
            configureHost);
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await host.Bus().PublishAsync(new Numbered("a", 2));
        await host.Bus().PublishAsync(new Numbered("a", 3));
        Assert.Equal([1, 1, 2, 3], await seen.WaitAsync(4));
        await host.StopAsync();
        Assert.Equal(4, seen.Items.Count);
    }

    private sealed class FailingLoggerProvider : ILoggerProvider, ILogger
    {
        private bool _fails;

        public ILogger CreateLogger(string categoryName) => categoryName == "Millrace.Messaging" ? new FailingLoggerProvider { _fails = true } : NullLogger.Instance;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => _fails;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            throw new InvalidOperationException("The logger failed.");

        public void Dispose()
        {
            // Nothing is open.
        }
    }

    [Fact]
    public async Task A_broker_that_refuses_the_login_for_a_while_costs_no_membership()
    {
        bool isRefused = false;
        int joins = 0;
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            // Polls are so far apart that each finds a refusal.
            millrace.Configure(options => options.MaxRetryDelay = options.RetryDelay = TimeSpan.FromSeconds(1));
            millrace.Intercept(
                answer =>
                {
                    if (answer.Api == ApiKey.JoinGroup) Interlocked.Increment(ref joins);
                    // New connections are refused, and those that nothing happens to stay, as while a password is changed.
                    return Volatile.Read(ref isRefused) && answer.Api == ApiKey.Fetch ? throw new KafkaConnectionException("The connection broke.") : Task.CompletedTask;
                },
                address => Volatile.Read(ref isRefused) ? new KafkaAuthenticationException("The password is wrong.", address, "PLAIN", ErrorCode.SaslAuthenticationFailed) : null);
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => seen.Add(message.Number)));
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await seen.WaitAsync(1);
        int joinsBefore = joins;
        Volatile.Write(ref isRefused, true);

        // One refusal is told several times: until its pause is over, nobody asks the broker again.
        using CancellationTokenSource deadline = new(TestApplication.Patience);
        while (_application.Logs.Count(line => line.Contains("The endpoint", StringComparison.Ordinal) && line.Contains("password is wrong", StringComparison.Ordinal)) < 3)
        {
            deadline.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        Volatile.Write(ref isRefused, false);
        await host.Bus().PublishAsync(new Numbered("a", 2));

        Assert.Equal([1, 2], await seen.WaitAsync(2));
        Assert.Equal(joinsBefore, joins);
        Assert.DoesNotContain(_application.Logs, line => line.Contains("ended for good", StringComparison.Ordinal));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_partition_that_could_not_be_read_is_read_again_where_it_stands()
    {
        bool hasSpoiled = false;
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Intercept(answer =>
            {
                int place = answer.Api == ApiKey.Fetch ? answer.Frame.Bytes.Span.IndexOf("\"number\":4711"u8) : -1;
                if (place < 0 || hasSpoiled) return Task.CompletedTask;
                hasSpoiled = true;
                answer.Frame.Bytes.Span[place] ^= 1;
                return Task.CompletedTask;
            });
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => seen.Add(message.Number)));
        });
        await host.Bus().PublishAsync(new Numbered("a", 1));
        await seen.WaitAsync(1);
        await host.Bus().PublishAsync(new Numbered("a", 4711));

        Assert.Equal([1, 4711], await seen.WaitAsync(2));
        Assert.True(hasSpoiled);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_partition_that_could_not_be_read_has_the_others_go_on_as_they_are()
    {
        bool hasSpoiled = false;
        short version = 0;
        ConcurrentQueue<FetchPartition> fetches = new();
        Seen<int> seen = new();
        using IHost host = await _application.StartAsync(millrace =>
        {
            millrace.Configure(options => options.TopicPartitionCount = 2);
            millrace.Intercept(
                answer =>
                {
                    int place = answer.Api == ApiKey.Fetch ? answer.Frame.Bytes.Span.IndexOf("\"number\":4711"u8) : -1;
                    if (place < 0 || hasSpoiled) return Task.CompletedTask;
                    hasSpoiled = true;
                    answer.Frame.Bytes.Span[place] ^= 1;
                    return Task.CompletedTask;
                },
                onRequest: frame =>
                {
                    if (!MessageCodec.TryReadRequestHeader(frame, out RequestHeader header, out int bodyStart, out _) || header.Key != ApiKey.Fetch) return;
                    Assert.True(MessageCodec.TryReadRequest(frame[bodyStart..], header.Version, out FetchRequest? request, out string? error), error);
                    version = header.Version;
                    foreach (FetchPartition partition in request.Topics.SelectMany(topic => topic.Partitions)) fetches.Enqueue(partition);
                });
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => seen.Add(message.Number)));
        });

        // Both partitions are read from.
        for (int i = 0; i < 20; i++) await host.Bus().PublishAsync(new Numbered($"key {i}", i));
        await seen.WaitAsync(20);
        Assert.Equal(2, fetches.Where(fetch => fetch.FetchOffset > 0).Select(fetch => fetch.Index).Distinct().Count());
        fetches.Clear();
        await host.Bus().PublishAsync(new Numbered("key 0", 4711));
        await seen.WaitAsync(21);
        for (int i = 0; i < 20; i++) await host.Bus().PublishAsync(new Numbered($"key {i}", 100 + i));
        await seen.WaitAsync(41);

        Assert.SkipWhen(TestCluster.IsExternal && version < 12, "The brokers are not told the epoch of what was fetched last.");

        // Who seeks does not know the epoch of the record before, so that a truncation there would pass unnoticed.
        Assert.Single(fetches.Where(fetch => fetch is { FetchOffset: > 0, LastFetchedEpoch: < 0 }).Select(fetch => fetch.Index).Distinct());
        await host.StopAsync();
    }

    [Fact]
    public async Task An_exception_that_cannot_be_printed_costs_no_slot()
    {
        Seen<string> seen = new();
        using IHost host = await _application.StartAsync(millrace => millrace.AddEndpoint("numbers", endpoint =>
        {
            endpoint.MaxConcurrency = 1;
            endpoint.Failures.OnAnyException().DeadLetter();
            endpoint.Handle<Numbered>((message, _, _) =>
            {
                seen.Add($"{message.Key} {message.Number}");
                return message.Key == "bad" && seen.Items.Count < 3 ? throw new UnprintableException() : Task.CompletedTask;
            });
        }));
        await host.Bus().PublishAsync(new Numbered("bad", 1));
        await host.Bus().PublishAsync(new Numbered("good", 1));

        await seen.WaitAsync(items => items.Contains("good 1") && items.Count(item => item == "bad 1") >= 2);
        await host.StopAsync();
    }

    [Fact]
    public async Task An_assignment_that_comes_while_the_consumer_closes_is_no_failure()
    {
        await using KafkaClient client = new(new KafkaClientOptions { BootstrapServers = "127.0.0.1:1" }, TimeProvider.System, NullLoggerFactory.Instance);
        MessagingSettings settings = MessagingSettings.Read(new MessagingOptions(), "Shop", []);
        RetryBackoff backoff = new(Backoff.Constant(TimeSpan.FromSeconds(1)), new Chance(new Random(1)));
        await using EndpointRunner runner = new(
            new EndpointRun("numbers", "numbers", ["test.events"], 1, DeliveryMode.AtLeastOnce), settings, new NoPipeline(), backoff, () => { },
            () => client.CreateConsumer(new ConsumerOptions { GroupId = "numbers" }), TimeProvider.System, NullLogger.Instance);

        await runner.OnAssignedAsync([new TopicPartition("test.events", 0)], new CancellationToken(canceled: true));
        Assert.Empty(runner.Look().Positions);
    }

    private static void AddAtMostOnce(MillraceBuilder millrace, Seen<int> seen) => millrace.AddEndpoint("numbers", endpoint =>
    {
        endpoint.Delivery = DeliveryMode.AtMostOnce;
        endpoint.Handle<Numbered>(message => seen.Add(message.Number));
    });

    private sealed class UnprintableException : Exception
    {
        public override string Message => throw new InvalidOperationException("There is no message.");
    }

    private sealed class NoPipeline : IRecordPipeline
    {
        public ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public void OnReleased(TopicPartition partition)
        {
        }

        public Task<DeliveryOutcome> HandleAsync(ConsumerRecord record, DeliveryProgress progress, Ownership ownership) =>
            Task.FromResult(DeliveryOutcome.Completed);
    }
}
