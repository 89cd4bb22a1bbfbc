using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Where a log ends that could not be read is not known, and nobody is told that it ends where it does not.</summary>
public sealed class OfflinePartitionTests
{
    [Fact]
    public async Task A_fetcher_of_a_partition_that_cannot_be_read_at_the_start_is_not_told_that_its_log_was_cut()
    {
        (TestBroker started, PartitionLog orders) = await StartWithHiddenPartitionAsync();
        await using TestBroker broker = started;
        await using TestClient client = broker.Connect();
        FetchRequest request = TestClientRequests.Fetch("orders", 2, maxWaitMilliseconds: 60_000);
        request.Topics[0].Partitions[0].LastFetchedEpoch = orders.LeaderEpoch;

        FetchPartitionResponse offline = await FetchAsync();
        Assert.Equal((ErrorCode.KafkaStorageError, null), (offline.ErrorCode, offline.DivergingEpoch));
        request.Topics[0].Partitions[0].CurrentLeaderEpoch = orders.LeaderEpoch;
        Assert.Equal(ErrorCode.KafkaStorageError, (await FetchAsync()).ErrorCode);

        await broker.BringBackAsync(orders.TopicPartition);
        request.Topics[0].Partitions[0].CurrentLeaderEpoch = -1;
        FetchPartitionResponse back = await FetchAsync();
        Assert.Equal((ErrorCode.None, null), (back.ErrorCode, back.DivergingEpoch));
        Assert.Equal((2, "c"), Batches.Read(back.Records)[^1]);

        async Task<FetchPartitionResponse> FetchAsync() => (await client.SendAsync<FetchRequest, FetchResponse>(request, 12)).Topics[0].Partitions[0];
    }

    [Theory]
    [InlineData(2)]
    [InlineData(-1)]
    public async Task Who_deletes_records_of_a_partition_that_cannot_be_read_at_the_start_is_not_told_that_it_lacks_them(long before)
    {
        (TestBroker started, PartitionLog orders) = await StartWithHiddenPartitionAsync();
        await using TestBroker broker = started;
        await using TestClient client = broker.Connect();
        Assert.Equal((ErrorCode.KafkaStorageError, -1), await DeleteAsync());

        await broker.BringBackAsync(orders.TopicPartition);
        Assert.Equal((ErrorCode.None, before < 0 ? 3 : before), await DeleteAsync());

        async Task<(ErrorCode Error, long LowWatermark)> DeleteAsync()
        {
            DeleteRecordsResponse response = await client.SendAsync<DeleteRecordsRequest, DeleteRecordsResponse>(
                new DeleteRecordsRequest { Topics = [new DeleteRecordsTopic { Name = "orders", Partitions = [new DeleteRecordsPartition { Index = 0, Offset = before }] }] }, 2);
            DeleteRecordsPartitionResult result = response.Topics[0].Partitions[0];
            return (result.ErrorCode, result.LowWatermark);
        }
    }

    /// <summary>Three records are in a partition that the start could not read; what it was before is told beside.</summary>
    private static async Task<(TestBroker Broker, PartitionLog Before)> StartWithHiddenPartitionAsync()
    {
        TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient producer = broker.Connect())
        {
            await producer.ProduceAsync("orders", Batches.Of("a", "b", "c"));
        }

        PartitionLog orders = broker.Partition("orders");
        await broker.CrashAndRestartAsync(() => broker.Hide("orders-0"));
        return (broker, orders);
    }
}
