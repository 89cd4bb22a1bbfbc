using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

/// <summary>A data directory that applications start on, one after the other, as one does after a crash or a stop.</summary>
internal sealed class TestApplication : IDisposable
{
    public static readonly TimeSpan Patience = TestBroker.Patience;

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("millrace-messaging-");
    // In place of the embedded log, where the tests are to run against a cluster.
    private readonly Lazy<TestBroker> _cluster = new(() => TestBroker.StartAsync().GetAwaiter().GetResult());

    public ConcurrentQueue<string> Logs { get; } = new();

    public string DataDirectory => Path.Combine(_directory.FullName, "data");

    /// <summary>Starts an application whose broker other programs reach, on a clock of its own if one is given.</summary>
    public Task<IHost> StartListeningAsync(Action<MillraceBuilder> configure, TimeProvider? time = null) => StartAsync(
        millrace =>
        {
            if (!TestCluster.IsExternal) millrace.UseEmbedded(options => options.Listen = "127.0.0.1:0");
            configure(millrace);
        },
        builder =>
        {
            if (time is not null) builder.Services.AddSingleton(time);
        });

    public async Task<IHost> StartAsync(Action<MillraceBuilder> configure, Action<HostApplicationBuilder>? configureHost = null)
    {
        IHost host = Build(configure, configureHost);
        await host.StartAsync();
        return host;
    }

    public IHost Build(Action<MillraceBuilder> configure, Action<HostApplicationBuilder>? configureHost = null)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "Shop" });
        builder.Logging.SetMinimumLevel(LogLevel.Information).AddProvider(new RecordingLoggerProvider(Logs));
        configureHost?.Invoke(builder);
        builder.AddMillrace(millrace =>
        {
            UseLog(millrace);
            millrace.Configure(options => (options.MaxRetries, options.RetryDelay, options.MaxRetryDelay) = (1_000, TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(100)));
            configure(millrace);
        });
        return builder.Build();
    }

    public void Dispose()
    {
        if (_cluster.IsValueCreated) _cluster.Value.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _directory.Delete(recursive: true);
    }

    private void UseLog(MillraceBuilder millrace)
    {
        if (!TestCluster.IsExternal)
        {
            millrace.UseEmbedded(options => options.DataDirectory = DataDirectory);
            return;
        }

        TestBroker cluster = _cluster.Value;
        millrace.Services.AddSingleton(cluster);
        // As the embedded log: nobody else handles what these applications send.
        millrace.UseLog((_, _) => Task.FromResult(new LogConnection(cluster.CreateClientOptions()) { IsEmbedded = true }));
    }

    private sealed class RecordingLoggerProvider(ConcurrentQueue<string> lines) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => new RecordingLogger(lines);

        public void Dispose()
        {
        }
    }

    private sealed class RecordingLogger(ConcurrentQueue<string> lines) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue($"{logLevel}: {formatter(state, exception)}");
    }
}

/// <summary>What handlers saw, and a way to wait for it.</summary>
internal sealed class Seen<T>
{
    private readonly Lock _gate = new();
    private readonly List<T> _items = [];
    private TaskCompletionSource _added = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public List<T> Items
    {
        get
        {
            lock (_gate) return [.. _items];
        }
    }

    public void Add(T item)
    {
        TaskCompletionSource added;
        lock (_gate)
        {
            _items.Add(item);
            added = _added;
            _added = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        added.SetResult();
    }

    public async Task<List<T>> WaitAsync(Func<List<T>, bool> condition)
    {
        using CancellationTokenSource deadline = new(TestApplication.Patience);
        while (true)
        {
            Task added;
            lock (_gate)
            {
                if (condition(_items)) return [.. _items];
                added = _added.Task;
            }

            try
            {
                await added.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Waited {TestApplication.Patience} in vain. Seen so far: {string.Join(", ", Items)}");
            }
        }
    }

    public Task<List<T>> WaitAsync(int count) => WaitAsync(items => items.Count >= count);
}

internal static class HostExtensions
{
    public static IMessageBus Bus(this IHost host) => host.Services.GetRequiredService<IMessageBus>();

    public static async Task<MessagingState> WaitUntilQuietAsync(this IHost host)
    {
        using CancellationTokenSource deadline = new(TestApplication.Patience);
        return await host.Services.GetRequiredService<MessagingActivity>().WaitUntilQuietAsync(deadline.Token);
    }

    /// <summary>A client of a host whose broker listens.</summary>
    public static KafkaClient Client(this IHost host) => host.Services.GetService<TestBroker>()?.CreateClient() ?? new(
        new KafkaClientOptions { BootstrapServers = host.Services.GetRequiredService<EmbeddedBroker>().ListenEndPoint!.ToString() },
        TimeProvider.System, NullLoggerFactory.Instance);

    /// <summary>A topic that was made a moment ago: not every broker of a cluster knows it at once.</summary>
    public static async Task<TopicDescription> DescribeAsync(this KafkaClient client, string topic)
    {
        TopicDescription description;
        using PeriodicTimer pause = new(TimeSpan.FromMilliseconds(100));
        int attemptCount = 0;
        do description = (await client.Admin.DescribeAsync([topic])).Topics.Single();
        while (TestCluster.IsExternal && description.Partitions.Count == 0 && ++attemptCount < 50 && await pause.WaitForNextTickAsync());
        return description;
    }

    /// <summary>Every record of a topic, partition by partition.</summary>
    public static async Task<List<ConsumerRecord>> ReadAllAsync(this IHost host, string topic)
    {
        await using KafkaClient client = host.Client();
        TopicDescription description = await client.DescribeAsync(topic);
        List<TopicPartition> partitions = [.. description.Partitions.Select(partition => new TopicPartition(topic, partition.Partition))];
        IReadOnlyDictionary<TopicPartition, Offset> ends = await client.Admin.ListOffsetsAsync(partitions, OffsetSpec.Latest);
        await using KafkaConsumer consumer = client.CreateConsumer();
        consumer.Assign([.. partitions.Select(partition => new TopicPartitionOffset(partition, Offset.Zero))]);
        List<ConsumerRecord> records = [];
        using CancellationTokenSource deadline = new(TestApplication.Patience);
        try
        {
            while (records.Count < ends.Values.Sum(end => end.Value)) records.AddRange(await consumer.PollAsync(cancellationToken: deadline.Token));
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"{topic} cannot be read: {string.Join(", ", partitions.Select(partition => $"{partition.Partition} at {consumer.Position(partition)} of {ends[partition]}"))}");
        }

        return records;
    }

    public static string? Header(this ConsumerRecord record, string name) =>
        record.Headers.LastOrDefault(header => header.Key == name).Value is { } value ? Encoding.UTF8.GetString(value.Span) : null;
}
