using Millrace.Cli.Doctor;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Cli.Tests.Doctor;

/// <summary>One cluster that is bad in one way for each finding; the sound one is the good side of all of them.</summary>
public sealed class DoctorRulesTests
{
    [Fact]
    public void A_sound_cluster_has_no_findings()
    {
        Assert.Empty(DoctorRules.Examine(Clusters.Sound, Clusters.Remedies));
        Assert.Equal(0, DoctorReport.ExitCodeOf([]));
    }

    [Fact]
    public void Every_rule_has_a_test_of_its_own()
    {
        string[] tested = [.. BadClusters.Select(row => row.Data.Item1)];
        Assert.Empty(DoctorRules.All.Select(rule => rule.Name).Except(tested));
    }

    /// <summary>Rule, what is bad about the cluster, severity, and words of what the finding says and of what mends it.</summary>
    public static TheoryData<string, string, int, string, string> BadClusters => new()
    {
        { "broker-count", "two brokers", 1, "2 brokers are up", "Add a broker" },
        { "broker-count", "a fenced broker", 2, "Broker 4 is registered", "kafka-cluster.sh unregister --bootstrap-server kafka:9092 --id 4" },
        { "offline-partitions", "no leader", 2, "1 partition of orders has no leader: 2", "--election-type unclean --topic orders --partition 2" },
        { "under-min-isr", "one in sync", 2, "fewer replicas in sync than min.insync.replicas=2: 0", "brokers 2, 3 are up" },
        { "under-replicated", "two in sync", 1, "a replica that is not in sync: 0", "kafka-topics.sh --bootstrap-server kafka:9092 --describe --under-replicated-partitions" },
        { "replication-factor", "one replica", 2, "a partition with 1 replica", "kafka-reassign-partitions.sh --bootstrap-server kafka:9092 --reassignment-json-file more-replicas.json --execute" },
        { "replication-factor", "two replicas", 1, "a partition with 2 replicas", "more-replicas.json" },
        { "min-insync-replicas", "minimum of one", 2, "min.insync.replicas of orders is 1", "kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name orders --add-config min.insync.replicas=2" },
        { "min-insync-replicas", "minimum of all", 1, "is 3, and it has 3 replicas", "min.insync.replicas=2" },
        { "unclean-leader-election", "unclean", 2, "unclean.leader.election.enable of orders is true", "unclean.leader.election.enable=false" },
        { "internal-topics", "offsets on one broker", 2, "__consumer_offsets has a partition with 1 replica", "more-replicas.json" },
        { "internal-topics", "offsets deleted", 2, "cleanup.policy of __consumer_offsets is delete", "cleanup.policy=compact" },
        { "internal-topics", "transactions to come with one replica", 1, "transaction.state.log.replication.factor is below 3 on brokers 1, 2, 3", "before the first group or transaction" },
        { "broker-defaults", "default of one replica", 1, "default.replication.factor is below 3", "server.properties" },
        { "broker-defaults", "default minimum of one", 1, "min.insync.replicas is below 2", "--entity-default --add-config min.insync.replicas=2" },
        { "preferred-leaders", "leaders elsewhere", 1, "6 of 12 partitions", "kafka-leader-election.sh --bootstrap-server kafka:9092 --election-type preferred --all-topic-partitions" },
        { "leader-spread", "one broker leads all", 1, "Broker 1 leads 12 of 12 partitions; evenly spread it would be 4", "--broker-list 1,2,3 --generate" },
        { "rack-awareness", "no racks", 1, "No broker says which rack", "broker.rack" },
        { "rack-awareness", "a broker without a rack", 1, "broker 3 has no broker.rack", "broker.rack" },
        { "rack-awareness", "replicas in one rack", 2, "All replicas of 1 partition of orders stand in one rack: 0", "--generate" },
        { "power-failure", "one host", 1, "all brokers advertise one host, kafka", "flush.messages=1" },
        { "power-failure", "one rack", 1, "all brokers stand in one rack, zone", "flush.messages=1" },
        { "power-failure", "no racks", 0, "no racks are told", "broker.rack" },
        { "disks", "a failed disk", 2, "/data of broker 1 cannot be used", "replace the disk" },
        { "disks", "a full disk", 1, "/data of broker 1 has 100 B free of 1000 B", "retention.bytes" },
        { "disks", "a very full disk", 2, "has 10 B free", "kafka-log-dirs.sh --bootstrap-server kafka:9092 --describe --broker-list 1" },
        { "reassignments", "a move", 0, "1 partition is on the way to other brokers: orders-0", "--list" },
        { "auto-create-topics", "auto creation", 1, "auto.create.topics.enable is true on brokers 1, 2, 3", "auto.create.topics.enable=false" },
        { "message-size", "20 MiB messages", 1, "takes batches of 20 MiB", "object store" },
        { "message-size", "messages above what sockets take", 2, "and the brokers take requests of 104857600 bytes", "max.message.bytes=52428800" },
        { "message-size", "messages above replica fetches", 0, "above replica.fetch.max.bytes=1048576", "replica.fetch.max.bytes=5000000" },
        { "message-size", "a producer of larger requests", 1, "sends up to 5000000 bytes", "max.request.size=1048588 in app.properties" },
        { "partitions-for-workers", "more members than partitions", 1, "1 of 7 members of group workers has no partition: orders has 6", "--alter --topic orders --partitions 7" },
        { "partitions-for-workers", "an idle member", 1, "1 of 3 members of group workers has no partition: orders has 6", "partition.assignment.strategy" },
        { "partitions-for-workers", "a crowd beside a wide topic", 1, "1 of 8 members of group workers has no partition: orders has 6", "--alter --topic orders --partitions 7" },
        { "retention-against-lag", "lost records", 2, "Group workers has not read 50 records of orders that are deleted by now", "retention.ms" },
        { "retention-against-lag", "old records", 1, "Group workers is 850 records behind in orders, and its next record is older than 80", "retention.ms=1209600000" },
        { "clock-skew", "a clock 5 s ahead", 1, "The clock of broker 2 is 5 s ahead", "chrony" },
        { "clock-skew", "a clock 2 min behind", 2, "The clock of broker 2 is 2 minutes behind", "chrony" },
        { "future-records", "a record of tomorrow", 1, "holds a record from 2026-03-05 12:00:00Z", "message.timestamp.after.max.ms=3600000" },
        { "future-records", "a broker's record of tomorrow", 1, "holds a record from 2026-03-05 12:00:00Z", "--probe-clock" },
        { "producer-settings", "acks=1", 2, "app.properties sets acks=1", "Set acks=all in app.properties" },
        { "producer-settings", "acks=0", 2, "app.properties sets acks=0", "acks=all" },
        { "producer-settings", "no idempotence", 2, "sets enable.idempotence=false", "enable.idempotence=true" },
        { "producer-settings", "nothing said", 0, "does not say enable.idempotence", "enable.idempotence=true" },
        { "producer-settings", "10 in flight", 2, "max.in.flight.requests.per.connection=10", "=5" },
        { "producer-settings", "no retries", 1, "sets retries=0", "delivery.timeout.ms" },
        { "idempotent-writes", "records of nobody by a clock that is a little ahead", 1, "lie in 1 partition of orders that remember no idempotent producer (1)", "enable.idempotence=true" },
        { "idempotent-writes", "records of nobody", 1, "lie in 1 partition of orders that remember no idempotent producer (1)", "enable.idempotence=true" },
        { "gaps", "a gap", 0, "The disks of broker 2 could not be read.", "right to describe" },
        { "single-node", "one node", 1, "The cluster is one node", "three brokers" },
    };

    [Theory]
    [MemberData(nameof(BadClusters))]
    public void What_is_bad_is_found_with_its_reason_and_its_remedy(string rule, string bad, int severity, string what, string remedy)
    {
        IReadOnlyList<Finding> findings = DoctorRules.Examine(Make(bad), Clusters.Remedies);
        Finding finding = Assert.Single(findings, finding => finding.Rule == rule && finding.What.Contains(what, StringComparison.Ordinal));
        Assert.Equal((Severity)severity, finding.Severity);
        Assert.Contains(remedy, finding.Remedy, StringComparison.Ordinal);
        Assert.NotEqual("", finding.Why);
        Assert.Equal((int)findings.Max(found => found.Severity), DoctorReport.ExitCodeOf(findings));
    }

    [Fact]
    public void A_single_node_is_told_what_it_means_and_is_asked_for_no_replicas()
    {
        ClusterSnapshot node = Make("one node");
        Finding finding = Assert.Single(DoctorRules.Examine(node, Clusters.Remedies), finding => finding.Severity != Severity.Note);
        Assert.Contains("can take what was acknowledged last", finding.Why);
        ClusterSnapshot onDisk = node with { Topics = [.. node.Topics.Select(topic => topic.With("flush.messages", "1"))] };
        string why = Assert.Single(DoctorRules.Examine(onDisk, Clusters.Remedies), found => found.Rule == "single-node").Why;
        Assert.Contains("survives a crash and a power failure, and not the loss of the disk", why);
        Assert.DoesNotContain("can take what was acknowledged last", why);
    }

    [Fact]
    public void What_the_round_trip_may_explain_is_no_skew()
    {
        ClusterSnapshot cluster = Clusters.Sound with { Clocks = [new ClockReading(1, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(2.5))] };
        Assert.Empty(DoctorRules.Examine(cluster, Clusters.Remedies));
    }

    [Fact]
    public void A_group_that_lags_behind_what_is_kept_for_ever_or_compacted_is_not_warned_of()
    {
        ClusterSnapshot old = Make("old records");
        ClusterSnapshot compacted = old with { Topics = [.. old.Topics.Select(topic => topic.Name == "orders" ? topic.With("cleanup.policy", "compact") : topic)] };
        Assert.Empty(DoctorRules.Examine(compacted, Clusters.Remedies));
        ClusterSnapshot kept = old with
        {
            Topics = [.. old.Topics.Select(topic => topic with { Partitions = [.. topic.Partitions.Select(partition => partition with { AgedBefore = null })] })],
        };
        Assert.Empty(DoctorRules.Examine(kept, Clusters.Remedies));
    }

    [Theory]
    [InlineData("604800000", "-1", " --add-config retention.ms=1209600000)")]
    [InlineData("2592000000", "-1", " --add-config retention.ms=5184000000)")] // a month: two weeks would delete what the month keeps
    [InlineData("604800000", "1073741824", " --add-config retention.ms=1209600000,retention.bytes=2147483648)")]
    [InlineData("-1", "1073741824", " --add-config retention.bytes=2147483648)")]
    [InlineData("9223372036854775807", "-1", "no setting of the topic")]
    [InlineData("-1", "-1", "no setting of the topic")]
    public void What_is_to_keep_records_longer_never_keeps_them_shorter(string milliseconds, string bytes, string expected)
    {
        ClusterSnapshot cluster = Make("lost records");
        cluster = cluster with { Topics = [.. cluster.Topics.Select(topic => topic.With("retention.ms", milliseconds).With("retention.bytes", bytes))] };
        Finding finding = Assert.Single(DoctorRules.Examine(cluster, Clusters.Remedies));
        Assert.Contains(expected, finding.Remedy);
    }

    [Fact]
    public void Findings_come_worst_first_and_decide_the_exit_code()
    {
        ClusterSnapshot cluster = Clusters.WithOrdersSetting("unclean.leader.election.enable", "true") with { Reassignments = [new("orders", 0)], FencedBrokerIds = [] };
        IReadOnlyList<Finding> findings = DoctorRules.Examine(cluster, Clusters.Remedies);
        Assert.Equal([Severity.Error, Severity.Note], findings.Select(finding => finding.Severity));
        Assert.Equal(2, DoctorReport.ExitCodeOf(findings));
        Assert.Equal(1, DoctorReport.ExitCodeOf([findings[0] with { Severity = Severity.Warning }, findings[1]]));
        Assert.Equal(0, DoctorReport.ExitCodeOf([findings[1]]));
    }

    [Fact]
    public void More_replicas_go_to_other_racks_and_to_those_who_have_the_least()
    {
        ClusterSnapshot cluster = Clusters.WithPartition(0, partition => partition with { Replicas = [1], InSyncReplicas = [1] });
        cluster = cluster with { Brokers = [.. cluster.Brokers, Clusters.Broker(4) with { Rack = "zone-1" }, Clusters.Broker(5) with { Rack = "zone-5" }] };
        Dictionary<TopicPartition, IReadOnlyList<int>> plan = ReplicaRules.MoreReplicas(cluster);
        KeyValuePair<TopicPartition, IReadOnlyList<int>> only = Assert.Single(plan);
        Assert.Equal(new TopicPartition("orders", 0), only.Key);

        // 5 has nothing and a rack of its own; 4 has nothing either, and stands in the first one's rack.
        Assert.Equal([1, 5], only.Value.Take(2));
        Assert.Equal(3, only.Value.Distinct().Count());
        Assert.DoesNotContain(4, only.Value);
        string json = DoctorReport.ReassignmentJson(plan);
        Assert.Contains("\"version\": 1", json);
        Assert.Contains("\"topic\": \"orders\"", json);
    }

    [Fact]
    public void Remedies_name_the_properties_file_as_each_tool_wants_it()
    {
        var remedies = new RemedyContext("a:1", "client.properties");
        Assert.StartsWith("kafka-configs.sh --bootstrap-server a:1 --command-config client.properties ", remedies.SetTopic("t", "x=y"));
        Assert.StartsWith("kafka-leader-election.sh --bootstrap-server a:1 --admin.config client.properties ", remedies.Kafka("kafka-leader-election", "--x"));
        Assert.Contains("--config client.properties --reassignment-file", remedies.Reassign());
    }

    private static ClusterSnapshot Make(string bad) => bad switch
    {
        "two brokers" => Clusters.Sound with { Brokers = [.. Clusters.Sound.Brokers.Take(2)] },
        "a fenced broker" => Clusters.Sound with { FencedBrokerIds = [4] },
        "no leader" => Clusters.WithPartition(2, partition => partition with { LeaderId = -1, InSyncReplicas = [] }),
        "one in sync" => Clusters.WithPartition(0, partition => partition with { InSyncReplicas = [1] }),
        "two in sync" => Clusters.WithPartition(0, partition => partition with { InSyncReplicas = [1, 2] }),
        "one replica" => Clusters.WithPartition(0, partition => partition with { Replicas = [1], InSyncReplicas = [1] }),
        "two replicas" => Clusters.WithPartition(0, partition => partition with { Replicas = [1, 2], InSyncReplicas = [1, 2] }),
        "minimum of one" => Clusters.WithOrdersSetting("min.insync.replicas", "1"),
        "minimum of all" => Clusters.WithOrdersSetting("min.insync.replicas", "3"),
        "unclean" => Clusters.WithOrdersSetting("unclean.leader.election.enable", "true"),
        "offsets on one broker" => WithInternal(topic => topic with { Partitions = [topic.Partitions[0] with { Replicas = [1], InSyncReplicas = [1] }] }),
        "offsets deleted" => WithInternal(topic => topic.With("cleanup.policy", "delete")),
        "transactions to come with one replica" => Clusters.WithBrokerSetting("transaction.state.log.replication.factor", "1") with
        {
            Topics = [.. Clusters.Sound.Topics.Where(topic => topic.Name != "__transaction_state")],
        },
        "default of one replica" => Clusters.WithBrokerSetting("default.replication.factor", "1"),
        "default minimum of one" => Clusters.WithBrokerSetting("min.insync.replicas", "1"),
        "leaders elsewhere" => Clusters.WithOrders(topic => topic with { Partitions = [.. topic.Partitions.Select(partition => partition with { LeaderId = partition.Replicas[1] })] }),
        "one broker leads all" => Clusters.WithOrders(_ =>
        {
            TopicSnapshot wide = Clusters.Topic("orders", 12);
            return wide with { Partitions = [.. wide.Partitions.Select(partition => partition with { LeaderId = 1, Replicas = [1, 2, 3], InSyncReplicas = [1, 2, 3] })] };
        }),
        "no racks" => Clusters.WithBrokers(broker => broker with { Rack = null }),
        "a broker without a rack" => Clusters.WithBrokers(broker => broker.Id == 3 ? broker with { Rack = null } : broker),
        "replicas in one rack" => Clusters.WithBrokers(broker => broker with { Rack = broker.Id == 3 ? "zone-b" : "zone-a" }) with
        {
            Topics = [.. Clusters.WithPartition(0, partition => partition with { Replicas = [1, 2], InSyncReplicas = [1, 2] }).Topics],
        },
        "one host" => Clusters.WithBrokers(broker => broker with { Host = "kafka" }),
        "one rack" => Clusters.WithBrokers(broker => broker with { Rack = "zone" }),
        "a failed disk" => WithDisk(new LogDirDescription("/data", new KafkaBrokerException("Gone.", Kafka.Protocol.ErrorCode.KafkaStorageError), null, null, new Dictionary<TopicPartition, LogDirReplica>())),
        "a full disk" => WithDisk(new LogDirDescription("/data", null, 1000, 100, new Dictionary<TopicPartition, LogDirReplica>())),
        "a very full disk" => WithDisk(new LogDirDescription("/data", null, 1000, 10, new Dictionary<TopicPartition, LogDirReplica>())),
        "a move" => Clusters.Sound with { Reassignments = [new("orders", 0)] },
        "auto creation" => Clusters.WithBrokerSetting("auto.create.topics.enable", "true"),
        "20 MiB messages" => Clusters.WithOrdersSetting("max.message.bytes", "20971520"),
        "messages above what sockets take" => Clusters.WithOrdersSetting("max.message.bytes", "209715200"),
        "messages above replica fetches" => Clusters.WithOrdersSetting("max.message.bytes", "5000000"),
        "a producer of larger requests" => Clusters.WithProducer(("acks", "all"), ("enable.idempotence", "true"), ("max.request.size", "5000000")),
        "more members than partitions" => WithGroup(group => group with { Members = [.. Crowd()] }),
        "a crowd beside a wide topic" => WithGroup(group => group with { Members = [.. Crowd(), Clusters.Member("h") with { Topics = ["wide"], Assignment = [new("wide", 0)] }] }) with
        {
            Topics = [.. Clusters.Sound.Topics, Clusters.Topic("wide", 12)],
        },
        "an idle member" => WithGroup(group => group with { Members = [.. group.Members, Clusters.Member("c")] }),
        "lost records" => WithGroup(group => group with { Commits = new Dictionary<TopicPartition, long> { [new("orders", 0)] = 50 } }),
        "old records" => WithGroup(group => group with { Commits = new Dictionary<TopicPartition, long> { [new("orders", 0)] = 150 } }),
        "a clock 5 s ahead" => Clusters.Sound with { Clocks = [new ClockReading(2, TimeSpan.FromSeconds(5), TimeSpan.FromMilliseconds(5))] },
        "a clock 2 min behind" => Clusters.Sound with { Clocks = [new ClockReading(2, TimeSpan.FromMinutes(-2), TimeSpan.FromMilliseconds(5))] },
        "a record of tomorrow" => Clusters.WithPartition(0, partition => partition with { NewestRecord = Clusters.Now + TimeSpan.FromDays(1) }),
        "a broker's record of tomorrow" => Clusters.WithOrders(topic =>
            topic.With("message.timestamp.type", "LogAppendTime") with { Partitions = [topic.Partitions[0] with { NewestRecord = Clusters.Now + TimeSpan.FromDays(1) }] }),
        "acks=1" => Clusters.WithProducer(("acks", "1"), ("enable.idempotence", "true")),
        "acks=0" => Clusters.WithProducer(("acks", "0"), ("enable.idempotence", "true")),
        "no idempotence" => Clusters.WithProducer(("acks", "all"), ("enable.idempotence", "false")),
        "nothing said" => Clusters.WithProducer(),
        "10 in flight" => Clusters.WithProducer(("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "10")),
        "no retries" => Clusters.WithProducer(("enable.idempotence", "true"), ("retries", "0")),
        "records of nobody" => Clusters.WithPartition(1, partition => partition with { KnownProducerCount = 0 }),
        "records of nobody by a clock that is a little ahead" => Clusters.WithPartition(
            1, partition => partition with { KnownProducerCount = 0, NewestRecord = Clusters.Now + TimeSpan.FromSeconds(20) }),
        "a gap" => Clusters.Sound with { Gaps = ["The disks of broker 2 could not be read."] },
        "one node" => Clusters.Sound with
        {
            Brokers = [Clusters.Broker(1) with { Rack = null }],
            Topics =
            [
                .. Clusters.Sound.Topics.Select(topic => topic.With("min.insync.replicas", "1") with
                {
                    Partitions = [.. topic.Partitions.Select(partition => partition with { LeaderId = 1, Replicas = [1], InSyncReplicas = [1] })],
                }),
            ],
        },
        _ => throw new ArgumentOutOfRangeException(nameof(bad), bad, "No such cluster."),
    };

    /// <summary>One member for each partition of orders, and one that is left over.</summary>
    private static IEnumerable<GroupMemberDescription> Crowd() =>
        Enumerable.Range(0, 6).Select(partition => Clusters.Member($"{partition}", partition)).Append(Clusters.Member("6"));

    private static ClusterSnapshot WithInternal(Func<TopicSnapshot, TopicSnapshot> change) => Clusters.Sound with
    {
        Topics = [.. Clusters.Sound.Topics.Select(topic => topic.Name == "__consumer_offsets" ? change(topic) : topic)],
    };

    private static ClusterSnapshot WithGroup(Func<GroupSnapshot, GroupSnapshot> change) => Clusters.Sound with { Groups = [change(Clusters.Sound.Groups[0])] };

    private static ClusterSnapshot WithDisk(LogDirDescription directory) => Clusters.WithBrokers(broker => broker.Id == 1 ? broker with { Directories = [directory] } : broker);
}
