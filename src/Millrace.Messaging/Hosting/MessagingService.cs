using System.Security.Cryptography;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Millrace.Kafka;

namespace Millrace;

/// <summary>
/// Brings messaging up and down with the host: log, topics, producer, endpoints; and down in reverse.
/// </summary>
/// <remarks>
/// The log and the bus are up before any hosted service starts (StartingAsync), so that every one may publish wherever it
/// stands in the registration; they go down after every one has stopped (StoppedAsync). Handlers run in between.
/// </remarks>
internal sealed class MessagingService(
    MillraceBuilder builder, MessagePublisher publisher, MessagingActivity activity, IOptions<MessagingOptions> options, IHostEnvironment environment,
    IServiceProvider services, IServiceScopeFactory scopes, TimeProvider time, ILoggerFactory loggers) : IHostedLifecycleService, IAsyncDisposable
{
    private static readonly TimeSpan s_closeTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_waitReport = TimeSpan.FromSeconds(10);

    private readonly ILoggerFactory _loggers = new QuietLoggers(loggers);
    private readonly ILogger _logger = new QuietLogger(loggers.CreateLogger("Millrace.Messaging"));
    private readonly List<EndpointRunner> _endpoints = [];
    private LogConnection? _connection;
    private KafkaClient? _client;
    private KafkaProducer? _producer;

    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        List<string> problems = [];
        MessagingSettings settings = MessagingSettings.Read(options.Value, environment.ApplicationName, problems);
        if (builder.LogConnector is null)
            problems.Add("Millrace has no log to work on. Call millrace.UseEmbedded(options => options.DataDirectory = \"data\"), or millrace.UseKafka(\"host:9092\").");
        if (builder.LogNames.Count > 1)
            problems.Add($"{string.Join(" and ", builder.LogNames)} are called for one application, which works on one log. Keep one of the calls.");
        if (services.GetService<IServiceProviderIsService>() is { } known)
            problems.AddRange(builder.Endpoints.SelectMany(endpoint => endpoint.FindUnmakeable(known)));
        MessageRegistry registry = new(settings.TopicPrefix);
        ProcessorOptions[] processors = [.. builder.Processors.Select(processor => processor.WithPrefix(settings.TopicPrefix))];
        Topology topology = Topology.Build(registry, builder.Endpoints, builder.CommandsHandledElsewhere, problems, processors);

        _connection = await builder.LogConnector!(services, cancellationToken);
        _client = new KafkaClient(_connection.Client, settings.InfrastructureTime, loggers);
        await WaitForLogAsync(_client.Admin, _connection, settings.InfrastructureTime, cancellationToken);
        TopicCreator topics = new(
            _client.Admin, new TopicSettings(settings.TopicPartitionCount, _connection.ReplicationFactor, _connection.TopicConfiguration),
            settings.InfrastructureTime, _logger);
        await topics.EnsureAsync([.. topology.Topics], cancellationToken);
        await CreateDeadLetterTopicsAsync(topology, topics, cancellationToken);
        foreach (ProcessorOptions processor in processors) await topics.EnsureExactAsync(processor, cancellationToken);

        // No linger: whoever publishes waits for the acknowledgement, and many at once share a batch by themselves.
        _producer = _client.CreateProducer(new ProducerOptions { Acks = Acks.All, Linger = TimeSpan.Zero, CloseTimeout = s_closeTimeout });
        int seed = settings.RandomSeed ?? RandomNumberGenerator.GetInt32(int.MaxValue);
        MessageIdSource ids = new(time, settings.RandomSeed is null ? null : new Random(seed));
        MessageWriter writer = new(registry, topology, _connection.IsEmbedded, settings, time, ids, _producer, topics);
        Chance chance = new(new Random(seed));
        Backoff pauses = Backoff.Exponential(settings.RetryDelay, maximum: settings.MaxRetryDelay);
        RetryBackoff backoff = new(pauses, chance);
        FailurePolicy otherwise = new(settings.MaxRetries, pauses);
        foreach (EndpointDefinition endpoint in topology.Endpoints)
        {
            MessagePipeline pipeline = new(
                endpoint, topology, settings, publisher, writer, new FailureTable(endpoint.Failures, otherwise, chance), backoff, scopes, time, _logger);
            AddRunner(new EndpointRun(endpoint.Name, endpoint.GroupId, endpoint.Topics, endpoint.MaxConcurrency, endpoint.Delivery), pipeline, settings, backoff);
        }

        foreach (ProcessorOptions processor in processors)
        {
            PartitionProcessor made = processor.Create(new ProcessorServices
            {
                Client = _client, Producer = _producer, TopicPrefix = settings.TopicPrefix, Writer = writer, Time = time, Loggers = _loggers, Json = settings.Json, Services = services,
            });
            ProcessorPipeline pipeline = new(processor.Name, made, backoff, time, _logger);
            AddRunner(new EndpointRun(processor.Name, settings.TopicPrefix + processor.Name, [processor.Topic], processor.MaxConcurrency, DeliveryMode.AtLeastOnce),
                pipeline, settings, backoff);
        }

        publisher.Start(writer);
        activity.Start(_endpoints, _client.Admin, topics);
        LogMessages.Connected(
            _logger, settings.ApplicationName, _connection.IsEmbedded ? "its embedded log" : _connection.Client.BootstrapServers, _endpoints.Count);
    }

    /// <summary>Returns when a broker has answered: an application and its cluster may be started in any order.</summary>
    private async Task WaitForLogAsync(KafkaAdmin admin, LogConnection connection, TimeProvider time, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = new(connection.StartTimeout, time);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        await using ITimer patience = time.CreateTimer(
            _ => LogMessages.LogNotThereYet(_logger, connection.Client.BootstrapServers, connection.StartTimeout), null, s_waitReport, s_waitReport);
        KafkaException? last = null;
        try
        {
            while (true)
            {
                try
                {
                    await admin.DescribeAsync([], either.Token);
                    return;
                }
                catch (KafkaException failure) when (failure.IsTransient)
                {
                    // It has tried for as long as one call may.
                    last = failure;
                }
            }
        }
        catch (OperationCanceledException cancelled) when (!cancellationToken.IsCancellationRequested)
        {
            last = cancelled.InnerException as KafkaException ?? last;
            throw new LogUnavailableException(
                $"No broker of {connection.Client.BootstrapServers} has answered within {connection.StartTimeout}. {last?.Message} Check the addresses and that the brokers run; UseKafka has StartTimeout for clusters that take longer to start.".Replace("  ", " ", StringComparison.Ordinal),
                last);
        }
    }

    /// <summary>Up front, so that giving a message up needs nothing but a write. As many partitions as what the endpoint reads.</summary>
    private static async Task CreateDeadLetterTopicsAsync(Topology topology, TopicCreator topics, CancellationToken cancellationToken)
    {
        List<EndpointDefinition> endpoints = [.. topology.Endpoints.Where(endpoint => endpoint.Delivery == DeliveryMode.AtLeastOnce)];
        if (endpoints.Count == 0) return;
        IReadOnlyDictionary<string, int> counts = await topics.CountPartitionsAsync(
            [.. endpoints.SelectMany(endpoint => endpoint.Topics).Distinct(StringComparer.Ordinal)], cancellationToken);
        await topics.EnsureAsync(
            [.. endpoints.Select(endpoint => new NewTopic(endpoint.DeadLetterTopic, Math.Max(1, endpoint.Topics.Max(topic => counts[topic]))))],
            cancellationToken);
    }

    private void AddRunner(EndpointRun endpoint, IRecordPipeline pipeline, MessagingSettings settings, RetryBackoff backoff)
    {
        KafkaClient client = _client!;
        ConsumerOptions group = new()
        {
            GroupId = endpoint.GroupId,
            AutoOffsetReset = AutoOffsetReset.Earliest,
            SessionTimeout = settings.SessionTimeout,
            HeartbeatInterval = settings.HeartbeatInterval,
            // Who keeps a partition through a rebalance goes on with it, and takes nothing over anew.
            Assignors = [PartitionAssignor.CooperativeSticky],
            CloseTimeout = s_closeTimeout,
        };
        _endpoints.Add(new EndpointRunner(
            endpoint, settings, pipeline, backoff, activity.OnChanged, () => client.CreateConsumer(group), time, _logger));
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (EndpointRunner endpoint in _endpoints) endpoint.Start();
        return Task.CompletedTask;
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) =>
        StopStepAsync("stopping the endpoints", () => Task.WhenAll(_endpoints.Select(endpoint => endpoint.StopAsync(cancellationToken))));

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        publisher.Stop();
        activity.Stop();
        if (_producer is not null) await StopStepAsync("flushing the producer", () => _producer.DisposeAsync().AsTask());
        _producer = null;
        if (_client is not null) await StopStepAsync("closing the client", () => _client.DisposeAsync().AsTask());
        _client = null;
        if (_connection is not null) await StopStepAsync("stopping the log", () => _connection.StopAsync(cancellationToken));
        _connection = null;
    }

    /// <summary>What a host that did not stop, or did not start, leaves behind.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (EndpointRunner endpoint in _endpoints) await StopStepAsync("disposing an endpoint", () => endpoint.DisposeAsync().AsTask());
        _endpoints.Clear();
        await StoppedAsync(CancellationToken.None);
    }

    private async Task StopStepAsync(string step, Func<Task> stop)
    {
        try
        {
            await stop();
        }
#pragma warning disable CA1031 // What fails to stop must not keep the rest from stopping.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            LogMessages.StopFailed(_logger, failure, step);
        }
    }
}
