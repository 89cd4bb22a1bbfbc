using System.Collections.Concurrent;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Interop.Tests.Mock;

/// <summary>Our consumers in a group on the mock cluster, while leaders and the coordinator move, brokers die and requests fail.</summary>
public sealed class MockClusterGroupTests
{
    private const string Topic = "orders";
    private const string Group = "billing";
    private const int PartitionCount = 4;
    private const int RecordsPerRound = 200;

    [Theory]
    [InlineData("leaders move")]
    [InlineData("brokers die")]
    [InlineData("fetches fail")]
    [InlineData("the coordinator moves")]
    [InlineData("everything")]
    public async Task Every_record_is_read_in_order_and_what_was_committed_is_not_read_again(string what)
    {
        await using MockCluster cluster = await MockCluster.StartAsync();
        await cluster.CreateTopicAsync(Topic, PartitionCount);
        await using KafkaClient client = cluster.CreateClient(options => options.RequestTimeout = TimeSpan.FromSeconds(5));
        KafkaProducer producer = client.CreateProducer();
        using CancellationTokenSource over = new();
        ConcurrentDictionary<(int Partition, long Offset), int> read = new();
        ConcurrentDictionary<int, long> committed = new();
        ConcurrentQueue<string> problems = new();
        Task[] members = [ConsumeAsync(), ConsumeAsync()];

        MockFaults faults = new(cluster, Topic, PartitionCount, seed: 2);
        Func<Task>[] steps = Steps(faults, what);
        int writtenCount = 0;
        for (int round = 0; round < Math.Max(3, steps.Length); round++)
        {
            await Task.WhenAll(Enumerable.Range(writtenCount, RecordsPerRound).Select(number => producer.ProduceAsync(
                new ProducerRecord { Topic = Topic, Partition = number % PartitionCount, Value = BitConverter.GetBytes(number) }).AsTask()));
            writtenCount += RecordsPerRound;
            await steps[round % steps.Length]();
            await UntilAsync(() => read.Values.Distinct().Count() == writtenCount || members.Any(member => member.IsFaulted), () => $"record {read.Values.Distinct().Count()} of {writtenCount}, after {what}");
        }

        await over.CancelAsync();
        await Task.WhenAll(members);
        Assert.Empty(problems);
        Assert.Equal(Enumerable.Range(0, writtenCount), read.Values.Distinct().Order());

        async Task ConsumeAsync()
        {
            KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions
            {
                GroupId = Group, AutoOffsetReset = AutoOffsetReset.Earliest, SessionTimeout = TimeSpan.FromSeconds(6), HeartbeatInterval = TimeSpan.FromMilliseconds(200),
                FetchMaxWait = TimeSpan.FromMilliseconds(50),
            });
            var positions = new ConcurrentDictionary<int, long>();
            await SubscribeAsync(consumer, new Forgetting(positions));
            while (!over.IsCancellationRequested)
            {
                try
                {
                    IReadOnlyList<ConsumerRecord> records = await consumer.PollAsync(100, over.Token);
                    foreach (ConsumerRecord record in records)
                    {
                        int partition = record.TopicPartition.Partition;
                        long before = positions.GetOrAdd(partition, record.Offset.Value - 1);
                        // Within one assignment nothing is left out, and nothing comes twice.
                        if (record.Offset.Value != before + 1)
                        {
                            problems.Enqueue($"{record.TopicPartition}: {record.Offset} came after {before}.");
                        }

                        positions[partition] = record.Offset.Value;
                        read[(partition, record.Offset.Value)] = BitConverter.ToInt32(record.Value!.Value.Span);
                    }

                    List<TopicPartitionOffset> done = [.. records.GroupBy(record => record.TopicPartition).Select(partition => new TopicPartitionOffset(partition.Key, partition.Last().Offset.Next))];
                    await consumer.CommitAsync(done);
                    foreach (TopicPartitionOffset offset in done)
                    {
                        committed.AddOrUpdate(offset.TopicPartition.Partition, offset.Offset.Value, (_, known) => Math.Max(known, offset.Offset.Value));
                    }
                }
                catch (OperationCanceledException)
                {
                    break;
                }
                catch (KafkaGroupFencedException)
                {
                    // Handed out before a rebalance, committed after it: it comes again.
                }
            }

            await consumer.DisposeAsync();
        }
    }

    private static async Task SubscribeAsync(KafkaConsumer consumer, IRebalanceListener listener)
    {
        while (true)
        {
            try
            {
                await consumer.SubscribeAsync([Topic], listener);
                return;
            }
            catch (KafkaBrokerException failure) when (failure.ErrorCode == ErrorCode.InvalidRequest)
            {
                // So the mock cluster answers a member that is slow to synchronise a round which it has given up. The member has told of it, and tries again by itself.
            }
        }
    }

    private static Func<Task>[] Steps(MockFaults faults, string what) => what switch
    {
        "leaders move" => [faults.MoveLeadersAsync],
        "brokers die" => [faults.KillBrokerAsync],
        "fetches fail" => [faults.RefuseFetchesAsync, faults.RefuseLookUpsAsync],
        "the coordinator moves" => [() => faults.MoveCoordinatorAsync(Group)],
        _ => [faults.MoveLeadersAsync, () => faults.MoveCoordinatorAsync(Group), faults.KillBrokerAsync, faults.RefuseFetchesAsync, faults.TakeLeadersAwayAsync],
    };

    private static async Task UntilAsync(Func<bool> condition, Func<string> what)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < Programs.RunningProgram.Deadline, $"Waited in vain beyond {what()}.");
            // Real time: the pause between two looks at the condition.
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
    }

    /// <summary>A new assignment begins where the group has committed, and not where this member was.</summary>
    private sealed class Forgetting(ConcurrentDictionary<int, long> positions) : IRebalanceListener
    {
        public ValueTask OnAssignedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken) => ForgetAsync(partitions);

        public ValueTask OnRevokedAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken) => ForgetAsync(partitions);

        public ValueTask OnLostAsync(IReadOnlyCollection<TopicPartition> partitions, CancellationToken cancellationToken) => ForgetAsync(partitions);

        private ValueTask ForgetAsync(IReadOnlyCollection<TopicPartition> partitions)
        {
            foreach (TopicPartition partition in partitions)
            {
                positions.TryRemove(partition.Partition, out _);
            }

            return ValueTask.CompletedTask;
        }
    }
}
