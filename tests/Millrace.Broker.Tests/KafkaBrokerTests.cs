using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class KafkaBrokerTests
{
    [Fact]
    public async Task Records_survive_a_clean_restart()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            ProducePartitionResponse produced = await client.ProduceAsync("orders", Batches.Of("a", "b"));
            Assert.Equal((ErrorCode.None, 0L), (produced.ErrorCode, produced.BaseOffset));
        }

        await broker.RestartAsync();

        await using TestClient again = broker.Connect();
        FetchPartitionResponse fetched = await again.FetchAsync("orders", 0);
        Assert.Equal([(0, "a"), (1, "b")], Batches.Read(fetched.Records));
        Assert.Equal(2, fetched.HighWatermark);
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2001);
    }
}
