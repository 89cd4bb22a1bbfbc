using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Deletions of topics on a disk that stops them.</summary>
public sealed class TopicDeletionTests
{
    private readonly SimulatedStorage _storage = new(1);

    [Fact]
    public async Task A_topic_whose_deletion_a_second_request_finished_leaves_nothing_that_a_new_one_of_its_name_suffers_from()
    {
        KafkaBroker broker = await StartAsync();
        await using (var client = new TestClient(broker.Connect()))
        {
            await CreateAsync(client, "orders");
            await client.ProduceAsync("orders", Batches.Of("a", "b", "c"));
            await client.SendAsync<DeleteRecordsRequest, DeleteRecordsResponse>(
                new DeleteRecordsRequest
                {
                    Topics = [new DeleteRecordsTopic { Name = "orders", Partitions = [new DeleteRecordsPartition { Index = 0, Offset = 3 }] }],
                },
                2);
            _storage.FailNext(SimulatedOperation.Create, "log-start-offset-checkpoint.tmp");
            Assert.Equal(ErrorCode.KafkaStorageError, await DeleteAsync(client, "orders"));
            Assert.Equal(ErrorCode.None, await DeleteAsync(client, "orders"));
            Assert.DoesNotContain(_storage.List("/data"), static entry => entry.Name.StartsWith("orders", StringComparison.Ordinal));

            await CreateAsync(client, "orders");
            Assert.Equal(0, (await client.ProduceAsync("orders", Batches.Of("new"))).BaseOffset);
        }

        broker.Abort();
        broker = await StartAsync();
        await using (var client = new TestClient(broker.Connect()))
        {
            Assert.Equal([(0, "new")], Batches.Read((await client.FetchAsync("orders", 0)).Records));
        }

        await broker.StopAsync();
    }

    [Fact]
    public async Task A_deletion_that_was_refused_does_not_happen_at_the_next_start()
    {
        KafkaBroker broker = await StartAsync();
        await using (var client = new TestClient(broker.Connect()))
        {
            await CreateAsync(client, "orders");
            _storage.FailNext(SimulatedOperation.SyncDirectory, "/data");
            Assert.Equal(ErrorCode.KafkaStorageError, await DeleteAsync(client, "orders"));
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("later"))).ErrorCode);
        }

        await broker.StopAsync();
        broker = await StartAsync();
        await using (var client = new TestClient(broker.Connect()))
        {
            Assert.Equal([(0, "later")], Batches.Read((await client.FetchAsync("orders", 0)).Records));
        }

        await broker.StopAsync();
    }

    [Fact]
    public async Task A_topic_of_which_nobody_knows_whether_its_deletion_is_written_down_acknowledges_nothing_until_it_is_deleted_again()
    {
        KafkaBroker broker = await StartAsync();
        await using (var client = new TestClient(broker.Connect()))
        {
            await CreateAsync(client, "orders");
            _storage.FailNext(SimulatedOperation.SyncDirectory, "/data");
            _storage.FailNext(SimulatedOperation.SyncDirectory, "/data");
            Assert.Equal(ErrorCode.KafkaStorageError, await DeleteAsync(client, "orders"));
            Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await client.ProduceAsync("orders", Batches.Of("later"))).ErrorCode);
            Assert.Equal(ErrorCode.None, await DeleteAsync(client, "orders"));
            await CreateAsync(client, "orders");
        }

        await broker.StopAsync();
    }

    [Fact]
    public async Task A_deletion_by_id_that_the_disk_has_stopped_is_finished_by_the_next_one_by_id()
    {
        KafkaBroker broker = await StartAsync();
        await using (var client = new TestClient(broker.Connect()))
        {
            await CreateAsync(client, "orders");
            await CreateAsync(client, "others");
            Guid id = broker.Topics.Find("orders")!.Id;
            _storage.FailNext(SimulatedOperation.Create, "log-start-offset-checkpoint.tmp");
            Assert.Equal(("orders", ErrorCode.KafkaStorageError), await DeleteAsync(client, id));
            Assert.Equal(("orders", ErrorCode.None), await DeleteAsync(client, id));
            Assert.Equal((null, ErrorCode.UnknownTopicId), await DeleteAsync(client, id));

            await CreateAsync(client, "orders");
            Assert.Equal((null, ErrorCode.UnknownTopicId), await DeleteAsync(client, id));
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("new"))).ErrorCode);
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("others", Batches.Of("old"))).ErrorCode);
        }

        await broker.StopAsync();
    }

    private static async Task CreateAsync(TestClient client, string name)
    {
        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [new CreatableTopic { Name = name, PartitionCount = 1, ReplicationFactor = 1 }] }, 7);
        Assert.Equal(ErrorCode.None, response.Topics[0].ErrorCode);
    }

    private static async Task<ErrorCode> DeleteAsync(TestClient client, string name)
    {
        DeleteTopicsResponse response = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
            new DeleteTopicsRequest { TimeoutMilliseconds = 30_000, TopicNames = [name] }, 5);
        return response.Responses[0].ErrorCode;
    }

    private static async Task<(string? Name, ErrorCode Error)> DeleteAsync(TestClient client, Guid id)
    {
        DeleteTopicsResponse response = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
            new DeleteTopicsRequest { TimeoutMilliseconds = 30_000, Topics = [new DeleteTopicState { Name = null, TopicId = id }] }, 6);
        DeletableTopicResult result = Assert.Single(response.Responses);
        Assert.Equal(id, result.TopicId);
        return (result.Name, result.ErrorCode);
    }

    private Task<KafkaBroker> StartAsync() =>
        KafkaBroker.StartAsync(new BrokerOptions { DataDirectory = "/data" }, _storage, new ManualTime(), new RecordingLogs());
}
