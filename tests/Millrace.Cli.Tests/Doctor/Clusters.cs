using Millrace.Cli.Doctor;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Cli.Tests.Doctor;

/// <summary>A cluster with which every rule is content; tests change one thing.</summary>
internal static class Clusters
{
    public static readonly DateTimeOffset Now = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero);
    public static readonly RemedyContext Remedies = new("kafka:9092");

    public static ClusterSnapshot Sound { get; } = new()
    {
        TakenAt = Now,
        ClusterId = "sound",
        Brokers = [Broker(1), Broker(2), Broker(3)],
        Topics =
        [
            Topic("orders", 6, new() { ["retention.ms"] = "604800000" }),
            Topic("__consumer_offsets", 3, new() { ["cleanup.policy"] = "compact" }) with { IsInternal = true },
            Topic("__transaction_state", 3, new() { ["cleanup.policy"] = "compact" }) with { IsInternal = true },
        ],
        Groups =
        [
            new GroupSnapshot(
                "workers",
                GroupState.Stable,
                [Member("a", 0, 1, 2), Member("b", 3, 4, 5)],
                new Dictionary<TopicPartition, long> { [new("orders", 0)] = 900 }),
        ],
        Clocks = [new ClockReading(1, TimeSpan.FromMilliseconds(3), TimeSpan.FromMilliseconds(2))],
        Producers = [new ProducerConfiguration("app.properties", new Dictionary<string, string> { ["acks"] = "all", ["enable.idempotence"] = "true" })],
    };

    public static BrokerSnapshot Broker(int id) => new(
        id,
        $"kafka-{id}",
        $"zone-{id}",
        new Dictionary<string, string>
        {
            ["default.replication.factor"] = "3",
            ["min.insync.replicas"] = "2",
            ["auto.create.topics.enable"] = "false",
            ["offsets.topic.replication.factor"] = "3",
            ["transaction.state.log.replication.factor"] = "3",
            ["socket.request.max.bytes"] = "104857600",
            ["replica.fetch.max.bytes"] = "1048576",
        },
        [new LogDirDescription("/data", null, 1000, 600, new Dictionary<TopicPartition, LogDirReplica>())]);

    public static TopicSnapshot Topic(string name, int partitionCount, Dictionary<string, string>? settings = null)
    {
        var all = new Dictionary<string, string>
        {
            ["cleanup.policy"] = "delete",
            ["min.insync.replicas"] = "2",
            ["unclean.leader.election.enable"] = "false",
            ["max.message.bytes"] = "1048588",
            ["flush.messages"] = "9223372036854775807",
            ["message.timestamp.type"] = "CreateTime",
        };
        foreach ((string key, string value) in settings ?? [])
        {
            all[key] = value;
        }

        return new TopicSnapshot(
            name,
            IsInternal: false,
            [
                .. Enumerable.Range(0, partitionCount).Select(partition =>
                {
                    int[] replicas = [.. Enumerable.Range(0, 3).Select(index => 1 + ((partition + index) % 3))];
                    return new PartitionSnapshot(partition, replicas[0], replicas, replicas)
                    {
                        Offsets = (100, 1000), AgedBefore = 200, NewestRecord = Now - TimeSpan.FromMinutes(5), KnownProducerCount = 1,
                    };
                }),
            ],
            all);
    }

    public static GroupMemberDescription Member(string id, params int[] partitions) =>
        new(id, null, "client", "/10.0.0.1", ["orders"], [.. partitions.Select(partition => new TopicPartition("orders", partition))]);

    /// <summary>The cluster with its topic orders changed.</summary>
    public static ClusterSnapshot WithOrders(Func<TopicSnapshot, TopicSnapshot> change) =>
        Sound with { Topics = [.. Sound.Topics.Select(topic => topic.Name == "orders" ? change(topic) : topic)] };

    public static ClusterSnapshot WithOrdersSetting(string name, string value) => WithOrders(topic => topic.With(name, value));

    public static ClusterSnapshot WithPartition(int partition, Func<PartitionSnapshot, PartitionSnapshot> change) =>
        WithOrders(topic => topic with { Partitions = [.. topic.Partitions.Select(candidate => candidate.Partition == partition ? change(candidate) : candidate)] });

    public static ClusterSnapshot WithBrokers(Func<BrokerSnapshot, BrokerSnapshot> change) => Sound with { Brokers = [.. Sound.Brokers.Select(change)] };

    public static ClusterSnapshot WithBrokerSetting(string name, string value) => WithBrokers(broker => broker with
    {
        Settings = new Dictionary<string, string>(broker.Settings!) { [name] = value },
    });

    public static ClusterSnapshot WithProducer(params (string Name, string Value)[] settings) => Sound with
    {
        Producers = [new ProducerConfiguration("app.properties", settings.ToDictionary(setting => setting.Name, setting => setting.Value))],
    };

    public static TopicSnapshot With(this TopicSnapshot topic, string name, string value) => topic with
    {
        Settings = new Dictionary<string, string>(topic.Settings!) { [name] = value },
    };
}
