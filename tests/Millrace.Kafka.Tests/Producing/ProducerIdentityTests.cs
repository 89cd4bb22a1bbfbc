using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class ProducerIdentityTests
{
    private readonly HoldingCluster _cluster = new(2);

    [Fact]
    public async Task One_broker_that_refuses_does_not_keep_the_producer_from_an_id_of_another()
    {
        _cluster.OnConnect = address => address.Port == 2 ? Refusal(address) : null;

        // Which broker is asked first is chance.
        for (int seed = 1; seed <= 8; seed++)
        {
            await using KafkaClient client = Client(seed);
            Task record = ProduceAsync(client);
            Task first = await Task.WhenAny(record, _cluster.Held[0].Reader.WaitToReadAsync(Until.Timeout()).AsTask());
            Assert.False(first == record, $"The record failed: {record.Exception?.InnerException?.Message}");
            (await _cluster.Held[0].Reader.ReadAsync(Until.Timeout())).Acknowledge();
            await record;
        }
    }

    [Fact]
    public async Task When_all_brokers_refuse_the_records_fail_with_the_refusal()
    {
        _cluster.OnMetadata = response =>
        {
            response.Brokers.ForEach(broker => broker.Host = "advertised");
            return response;
        };
        List<BrokerAddress> refused = [];
        _cluster.OnConnect = address =>
        {
            if (address.Host == "node")
            {
                return null;
            }

            refused.Add(address);
            return Refusal(address);
        };
        await using KafkaClient client = Client(seed: 1, options => options.MetadataRecovery = MetadataRecovery.None);
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => ProduceAsync(client));
        Assert.Equal(2, refused.Distinct().Count());
    }

    [Fact]
    public async Task A_partition_that_gets_no_next_id_fails_alone()
    {
        await using KafkaClient client = Client(seed: 1);
        KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
        Task<RecordMetadata> other = ProduceAsync(producer, 0);
        HoldingCluster.HeldRequest underWay = await _cluster.Held[0].Reader.ReadAsync(Until.Timeout());
        Task<RecordMetadata> stale = ProduceAsync(producer, 1);
        _cluster.OnInitProducerId = static () => new InitProducerIdResponse { ErrorCode = ErrorCode.ClusterAuthorizationFailed };

        // The partition's sequences are over, and the next producer id is refused.
        (await _cluster.Held[1].Reader.ReadAsync(Until.Timeout())).Answer(new ProduceResponse
        {
            Topics = [new ProduceTopicResponse { Name = HoldingCluster.Topic, Partitions = [new ProducePartitionResponse { Index = 1, ErrorCode = ErrorCode.InvalidProducerEpoch }] }],
        });
        KafkaBrokerException refusal = await Assert.ThrowsAsync<KafkaBrokerException>(() => stale.WaitAsync(Until.Limit));
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, refusal.ErrorCode);
        Assert.Contains("not written", refusal.Message, StringComparison.Ordinal);

        // The other one has its id, and its record may be written by now.
        Assert.False(other.IsCompleted);
        underWay.Acknowledge();
        await other.WaitAsync(Until.Limit);
    }

    private static Task<RecordMetadata> ProduceAsync(KafkaProducer producer, int partition) =>
        producer.ProduceAsync(new ProducerRecord { Topic = HoldingCluster.Topic, Partition = partition, Value = new byte[1] }, Until.Timeout()).AsTask();

    private static KafkaAuthenticationException Refusal(BrokerAddress address) => new($"{address} is not trusted.", address, "TLS");

    private static Task ProduceAsync(KafkaClient client) => client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero })
        .ProduceAsync(new ProducerRecord { Topic = HoldingCluster.Topic, Partition = 0, Value = new byte[1] }, Until.Timeout()).AsTask();

    private KafkaClient Client(int seed, Action<KafkaClientOptions>? configure = null)
    {
        var options = new KafkaClientOptions { BootstrapServers = "node:1", Connector = _cluster, RandomSeed = seed };
        configure?.Invoke(options);
        return new KafkaClient(options, TimeProvider.System, NullLoggerFactory.Instance);
    }
}
