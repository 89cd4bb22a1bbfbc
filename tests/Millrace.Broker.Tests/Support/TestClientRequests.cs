using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>The requests that most tests send, with one topic and one partition.</summary>
internal static class TestClientRequests
{
    public static ProduceRequest Produce(string topic, ReadOnlyMemory<byte>? batch, int partition = 0, short acks = -1, int timeoutMilliseconds = 30_000) => new()
    {
        Acks = acks,
        TimeoutMilliseconds = timeoutMilliseconds,
        Topics = [new ProduceTopic { Name = topic, Partitions = [new ProducePartition { Index = partition, Records = batch }] }],
    };

    public static FetchRequest Fetch(string topic, long offset, int partition = 0, int maxWaitMilliseconds = 0, int minBytes = 1) => new()
    {
        MaxWaitMilliseconds = maxWaitMilliseconds,
        MinBytes = minBytes,
        SessionEpoch = -1,
        Topics =
        [
            new FetchTopic
            {
                Name = topic,
                Partitions = [new FetchPartition { Index = partition, FetchOffset = offset, MaxBytes = 1024 * 1024 }],
            },
        ],
    };

    public static async Task<ProducePartitionResponse> ProduceAsync(
        this TestClient client, string topic, ReadOnlyMemory<byte>? batch, int partition = 0, short acks = -1, short version = 9)
    {
        ProduceResponse response = await client.SendAsync<ProduceRequest, ProduceResponse>(Produce(topic, batch, partition, acks), version);
        return response.Topics[0].Partitions[0];
    }

    public static async Task<FetchPartitionResponse> FetchAsync(
        this TestClient client, string topic, long offset, int partition = 0, int maxWaitMilliseconds = 0, short version = 12)
    {
        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(Fetch(topic, offset, partition, maxWaitMilliseconds), version);
        return response.Topics[0].Partitions[0];
    }
}
