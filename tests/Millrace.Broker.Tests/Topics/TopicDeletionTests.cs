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

    private Task<KafkaBroker> StartAsync() =>
        KafkaBroker.StartAsync(new BrokerOptions { DataDirectory = "/data" }, _storage, new ManualTime(), new RecordingLogs());
}
