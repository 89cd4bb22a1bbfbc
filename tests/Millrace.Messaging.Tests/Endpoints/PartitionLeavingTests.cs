using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

/// <summary>Partitions that leave an endpoint while it does something else.</summary>
public sealed class PartitionLeavingTests
{
    // Longer than a test waits: nothing here ends because the time for it is over.
    private static readonly TimeSpan s_drainTimeout = TimeSpan.FromMinutes(5);
    private static readonly TopicPartition[] s_partitions = [new("numbers", 0), new("numbers", 1)];

    private readonly TimerWatch _time = new(s_drainTimeout);
    private readonly HeldPipeline _pipeline = new();

    [Fact]
    public async Task A_stop_ends_with_its_last_handler_though_a_partition_was_revoked_meanwhile()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await using EndpointRunner runner = CreateRunner(client);
        await HandleOneOfEachPartitionAsync(client, runner);
        Task stop = await StopAsync(runner);

        _pipeline.EndsWhenToldTo = true;
        await using KafkaConsumer other = client.CreateConsumer(Group());
        Task joining = other.SubscribeAsync(["numbers"]);
        List<string> seen = await _pipeline.Seen.WaitAsync(items => items.Exists(item => item.StartsWith("released", StringComparison.Ordinal)));
        _pipeline.End(s_partitions[seen.Contains("released 0") ? 1 : 0]);

        await stop.WaitAsync(TestBroker.Patience);
        await joining.WaitAsync(TestBroker.Patience);
        Assert.Equal(["0 at 1", "1 at 1"], await ReadCommitsAsync(client));
    }

    [Fact]
    public async Task A_partition_that_left_while_the_endpoint_stops_is_neither_committed_nor_released_again()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using KafkaClient client = broker.CreateClient();
        await using EndpointRunner runner = CreateRunner(client);
        await HandleOneOfEachPartitionAsync(client, runner);
        Task stop = await StopAsync(runner);

        // The token ends the waiting for its handler, which ends only after that.
        await runner.OnRevokedAsync([s_partitions[1]], new CancellationToken(canceled: true));
        _pipeline.End(s_partitions[1]);
        _pipeline.End(s_partitions[0]);

        await stop.WaitAsync(TestBroker.Patience);
        Assert.Equal(["0 at 1"], await ReadCommitsAsync(client));
        Assert.Equal(["released 1", "released 0"], _pipeline.Seen.Items.Where(item => item.StartsWith("released", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_partition_that_is_lost_while_it_is_prepared_is_released_after_that_and_before_it_is_prepared_again()
    {
        await using KafkaClient client = new(new KafkaClientOptions { BootstrapServers = "127.0.0.1:1" }, TimeProvider.System, NullLoggerFactory.Instance);
        await using EndpointRunner runner = CreateRunner(client);
        TaskCompletionSource mayBePrepared = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _pipeline.Preparation = mayBePrepared.Task;

        await runner.OnAssignedAsync([s_partitions[0]], CancellationToken.None);
        await runner.OnLostAsync([s_partitions[0]], CancellationToken.None);
        await runner.OnAssignedAsync([s_partitions[0]], CancellationToken.None);
        mayBePrepared.SetResult();

        List<string> seen = await _pipeline.Seen.WaitAsync(items => items.Count(item => item == "prepared 0") == 2);
        Assert.Equal(["prepares 0", "prepared 0", "released 0", "prepares 0", "prepared 0"], seen);
    }

    private static ConsumerOptions Group() => new()
    {
        GroupId = "numbers",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        HeartbeatInterval = TimeSpan.FromMilliseconds(100),
        Assignors = [PartitionAssignor.CooperativeSticky],
    };

    private static async Task<IEnumerable<string>> ReadCommitsAsync(KafkaClient client)
    {
        await using KafkaConsumer reader = client.CreateConsumer(Group());
        IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> committed = await reader.CommittedAsync(s_partitions);
        return committed.Values.Select(commit => $"{commit.TopicPartition.Partition} at {commit.Offset}").Order(StringComparer.Ordinal);
    }

    private EndpointRunner CreateRunner(KafkaClient client)
    {
        MessagingSettings settings = MessagingSettings.Read(new MessagingOptions { DrainTimeout = s_drainTimeout, InfrastructureTime = _time }, "Shop", []);
        RetryBackoff backoff = new(Backoff.Constant(TimeSpan.FromSeconds(1)), new Chance(new Random(1)));
        return new EndpointRunner(
            new EndpointRun("numbers", "numbers", ["numbers"], 2, DeliveryMode.AtLeastOnce), settings, _pipeline, backoff, () => { }, () => client.CreateConsumer(Group()),
            TimeProvider.System, NullLogger.Instance);
    }

    private async Task HandleOneOfEachPartitionAsync(KafkaClient client, EndpointRunner runner)
    {
        await client.Admin.CreateTopicsAsync([new NewTopic("numbers", s_partitions.Length)]);
        runner.Start();
        await using KafkaProducer producer = client.CreateProducer();
        foreach (TopicPartition partition in s_partitions)
            await producer.ProduceAsync(new ProducerRecord { Topic = partition.Topic, Partition = partition.Partition, Value = "1"u8.ToArray() });
        await _pipeline.Seen.WaitAsync(items => items.Contains("handles 0") && items.Contains("handles 1"));
    }

    /// <summary>Returns the stop when it waits for handlers.</summary>
    private async Task<Task> StopAsync(EndpointRunner runner)
    {
        _time.Rearm();
        Task stop = runner.StopAsync(CancellationToken.None);
        await _time.TimerSet.WaitAsync(TestBroker.Patience);
        return stop;
    }

    /// <summary>Its handlers run until the test ends them, or until they are told to end. Its preparations are not to be cancelled.</summary>
    private sealed class HeldPipeline : IRecordPipeline
    {
        private readonly TaskCompletionSource[] _ends = [.. s_partitions.Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously))];

        public Seen<string> Seen { get; } = new();

        public bool EndsWhenToldTo { get; set; }

        public Task Preparation { get; set; } = Task.CompletedTask;

        public void End(TopicPartition partition) => _ends[partition.Partition].TrySetResult();

        public async ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken)
        {
            Seen.Add($"prepares {partition.TopicPartition.Partition}");
            await Preparation;
            Seen.Add($"prepared {partition.TopicPartition.Partition}");
        }

        public void OnReleased(TopicPartition partition) => Seen.Add($"released {partition.Partition}");

        public async Task<DeliveryOutcome> HandleAsync(ConsumerRecord record, DeliveryProgress progress, Ownership ownership)
        {
            Seen.Add($"handles {record.TopicPartition.Partition}");
            await using CancellationTokenRegistration told = ownership.Leaving.Register(() =>
            {
                if (EndsWhenToldTo) End(record.TopicPartition);
            });
            await _ends[record.TopicPartition.Partition].Task;
            return DeliveryOutcome.Completed;
        }
    }
}
