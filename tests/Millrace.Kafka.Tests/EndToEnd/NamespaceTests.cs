using Microsoft.Extensions.Logging.Abstractions;

namespace Millrace.Kafka.Tests;

/// <summary>What tests against a shared cluster rely on: they do not meet, and leave nothing behind.</summary>
public sealed class NamespaceTests
{
    private const int PartitionCount = 3;

    [Fact]
    public async Task Two_namespaces_of_one_cluster_do_not_meet_and_leave_nothing_behind()
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it is the shared cluster", isTcp: true);
        TestCluster cluster = await TestCluster.OpenAsync(broker.Address);
        await using (KafkaClient plain = broker.CreateClient())
        {
            // Made by somebody who is no test.
            await plain.Admin.CreateTopicsAsync([new NewTopic("orders", 1)]);
            var first = new NamespaceConnector(cluster, PartitionCount);
            var second = new NamespaceConnector(cluster, PartitionCount);
            Assert.Equal(["orders", "orders", "orders"], await RunAsync(first, broker.Address, "1"));
            Assert.Equal(["orders", "orders", "orders"], await RunAsync(second, broker.Address, "2"));
            IReadOnlyList<string> names = await cluster.ListAsync(CancellationToken.None);
            Assert.Equal(
                new[] { "orders", $"{first.Prefix}billing", $"{first.Prefix}orders", $"{second.Prefix}billing", $"{second.Prefix}orders" }.Order(),
                names.Where(name => !name.StartsWith("__", StringComparison.Ordinal)).Order());

            await first.DisposeAsync();
            await second.DisposeAsync();
        }

        Assert.Equal(["orders"], (await cluster.ListAsync(CancellationToken.None)).Where(name => !name.StartsWith("__", StringComparison.Ordinal)));
    }

    /// <summary>Writes to a topic that is not there, and reads it back in a group.</summary>
    /// <returns>The topic of each record that was read.</returns>
    private static async Task<List<string>> RunAsync(NamespaceConnector connector, string address, string value)
    {
        await using var client = new KafkaClient(
            new KafkaClientOptions { BootstrapServers = address, Connector = connector }, TimeProvider.System, NullLoggerFactory.Instance);
        await using KafkaProducer producer = client.CreateProducer();
        for (int partition = 0; partition < PartitionCount; partition++)
        {
            await producer.ProduceAsync(new ProducerRecord { Topic = "orders", Partition = partition, Value = System.Text.Encoding.UTF8.GetBytes(value) }, Until.Timeout());
        }

        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
        await consumer.SubscribeAsync(["orders"], cancellationToken: Until.Timeout());
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, PartitionCount);
        await consumer.CommitAsync([.. records.Select(record => new TopicPartitionOffset(record.TopicPartition, record.Offset.Next))], Until.Timeout());
        Assert.All(records, record => Assert.Equal(value, System.Text.Encoding.UTF8.GetString(record.Value!.Value.Span)));
        IReadOnlyList<TopicDescription> topics = (await client.Admin.DescribeAsync(cancellationToken: Until.Timeout())).Topics;
        Assert.Equal(["orders"], topics.Select(topic => topic.Name));
        return [.. records.Select(record => record.TopicPartition.Topic)];
    }
}
