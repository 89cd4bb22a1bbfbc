using System.Globalization;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The broker's own settings as DescribeConfigs tells them: under Kafka's names, those that this broker has. They change with a new start only.</summary>
internal sealed class BrokerConfigs
{
    private readonly List<ConfigEntry> _entries = [];

    public BrokerConfigs(BrokerConfiguration configuration, TopicLogSettings topicDefaults)
    {
        foreach (TopicSetting setting in TopicSettingTable.All)
        {
            List<DescribeConfigsSynonym> values = TopicConfigs.BrokerValues(setting, topicDefaults);
            _entries.Add(new ConfigEntry(
                setting.BrokerName, values[0].Value!, (ConfigSource)values[0].Source, setting.Kind, IsReadOnly: true, setting.Documentation, values));
        }

        AddIdentity(configuration);
        AddTopics(configuration);
        AddGroups(configuration.Groups);
        AddTransactions(configuration);
        AddConnections(configuration);
        AddCleaner(configuration.Cleaner);
        _entries.Sort(static (left, right) => string.CompareOrdinal(left.Name, right.Name));
    }

    public IReadOnlyList<ConfigEntry> All => _entries;

    private void AddIdentity(BrokerConfiguration configuration)
    {
        string node = Text(BrokerConfiguration.NodeId);
        Add("broker.id", TopicSettingKind.Int, node, "-1", "The number of this node.");
        Add("node.id", TopicSettingKind.Int, node, "-1", "The number of this node.");
        Add("process.roles", TopicSettingKind.List, "broker,controller", "", "One node is both.");
        Add("log.dirs", TopicSettingKind.String, configuration.DataDirectory, "", "The data directory.");
        Add("log.dir", TopicSettingKind.String, configuration.DataDirectory, "/tmp/kafka-logs", "The data directory.");
        string listeners = string.Join(',', configuration.Listeners);
        Add("listeners", TopicSettingKind.String, listeners, "PLAINTEXT://:9092", "Where clients connect.");
        string advertised = string.Join(',', configuration.Listeners.Select(static listener =>
            $"{ListeningAddress.Scheme(listener.Protocol).ToUpperInvariant()}://{listener.AdvertisedHost ?? listener.EndPoint.Address.ToString()}:{Text(listener.AdvertisedPort ?? listener.EndPoint.Port)}"));
        Add("advertised.listeners", TopicSettingKind.String, advertised, "", "What clients are told to connect to.");
    }

    private void AddTopics(BrokerConfiguration configuration)
    {
        Add("num.partitions", TopicSettingKind.Int, Text(configuration.DefaultPartitionCount), "1", "Partitions of a topic when nobody says how many.");
        Add("default.replication.factor", TopicSettingKind.Int, "1", "1", "There is one node.");
        Add("auto.create.topics.enable", TopicSettingKind.Boolean, Text(configuration.AutoCreateTopics), "true", "Whether asking for a topic's metadata creates it.");
        Add("delete.topic.enable", TopicSettingKind.Boolean, "true", "true", "Topics can be deleted.");
    }

    private void AddGroups(GroupSettings groups)
    {
        Add("offsets.topic.num.partitions", TopicSettingKind.Int, Text(groups.OffsetsTopicPartitionCount), "50", "Partitions of __consumer_offsets when it is made.");
        Add("offsets.topic.replication.factor", TopicSettingKind.Int, "1", "3", "There is one node.");
        Add("offset.metadata.max.bytes", TopicSettingKind.Int, Text(groups.MaxOffsetMetadataLength), "4096", "The longest note of a committed offset.");
        Add("offsets.retention.minutes", TopicSettingKind.Int, Text((long)groups.OffsetsRetention.TotalMinutes), "10080", "How long offsets are kept for nobody.");
        Add("offsets.retention.check.interval.ms", TopicSettingKind.Long, Text(groups.OffsetsRetentionCheckInterval), "600000", "How often such offsets are looked for.");
        Add("group.initial.rebalance.delay.ms", TopicSettingKind.Int, Text(groups.InitialRebalanceDelay), "3000", "How long the first member of an empty group waits for others.");
        Add("group.min.session.timeout.ms", TopicSettingKind.Int, Text(groups.MinSessionTimeout), "6000", "The shortest session of a member.");
        Add("group.max.session.timeout.ms", TopicSettingKind.Int, Text(groups.MaxSessionTimeout), "1800000", "The longest session of a member.");
        Add("group.max.size", TopicSettingKind.Int, Text(groups.MaxSize), Text(int.MaxValue), "Members of a group.");
    }

    private void AddTransactions(BrokerConfiguration configuration)
    {
        TransactionSettings transactions = configuration.Transactions;
        Add("producer.id.expiration.ms", TopicSettingKind.Int, Text(configuration.ProducerIdExpiration), "86400000", "How long a partition remembers a producer that is silent.");
        Add("transaction.max.timeout.ms", TopicSettingKind.Int, Text(transactions.MaxTimeout), "900000", "The most time that a producer gets for a transaction.");
        Add("transactional.id.expiration.ms", TopicSettingKind.Int, Text(transactions.IdExpiration), "604800000", "How long an id is known that nobody uses.");
        Add("transaction.state.log.num.partitions", TopicSettingKind.Int, Text(transactions.StateTopicPartitionCount), "50", "Partitions of __transaction_state when it is made.");
        Add("transaction.state.log.replication.factor", TopicSettingKind.Int, "1", "3", "There is one node.");
    }

    private void AddCleaner(LogCleanerOptions cleaner)
    {
        Add("log.retention.check.interval.ms", TopicSettingKind.Long, Text(cleaner.RetentionCheckInterval), "300000", "How often it is looked for segments that go by age or size.");
        Add("log.cleaner.enable", TopicSettingKind.Boolean, Text(cleaner.IsEnabled), "true", "Whether topics are compacted.");
        Add("log.cleaner.threads", TopicSettingKind.Int, Text(cleaner.ThreadCount), "1", "Threads that compact, each one partition at a time.");
        Add("log.cleaner.dedupe.buffer.size", TopicSettingKind.Long, Text(cleaner.KeyMemoryByteCount), "134217728", "The most memory for the keys of compactions.");
        string loadFactor = cleaner.KeyMemoryLoadFactor.ToString(CultureInfo.InvariantCulture);
        Add("log.cleaner.io.buffer.load.factor", TopicSettingKind.Double, loadFactor, "0.9", "How full the table of keys may get.");
        Add("log.cleaner.io.buffer.size", TopicSettingKind.Int, Text(cleaner.BufferByteCount), "524288", "The buffer for reading and writing logs, over all threads.");
        Add("log.cleaner.backoff.ms", TopicSettingKind.Long, Text(cleaner.Backoff), "15000", "How long a thread waits that has found nothing to compact.");
    }

    private void AddConnections(BrokerConfiguration configuration)
    {
        Add("queued.max.request.bytes", TopicSettingKind.Long, Text(configuration.MaxQueuedRequestByteCount), "-1", "Requests that are held in memory while they are worked on.");
        Add("socket.request.max.bytes", TopicSettingKind.Int, Text(configuration.MaxRequestByteCount), "104857600", "The largest request that is read.");
        Add("fetch.max.bytes", TopicSettingKind.Int, Text(configuration.MaxFetchByteCount), "57671680", "The most that one fetch returns.");
        Add("max.connections", TopicSettingKind.Int, Text(configuration.MaxConnections), Text(int.MaxValue), "Network connections at one time.");
        Add("max.connections.per.ip", TopicSettingKind.Int, Text(configuration.MaxConnectionsPerAddress), Text(int.MaxValue), "Network connections of one address.");
        Add("connections.max.idle.ms", TopicSettingKind.Long, Text(configuration.MaxConnectionIdleTime), "600000", "A connection that is idle for longer is closed.");
        Add("connections.max.reauth.ms", TopicSettingKind.Long, Text(configuration.Security.MaxSessionLifetime), "0", "After so long a client has to log in again on its connection.");
        Add("connection.failed.authentication.delay.ms", TopicSettingKind.Int, Text(configuration.Security.FailedAuthenticationDelay), "100", "How long the answer to a failed login is held back.");
        Add("sasl.enabled.mechanisms", TopicSettingKind.List, string.Join(',', configuration.Security.Mechanisms), "GSSAPI", "By what clients may log in.");
    }

    private void Add(string name, TopicSettingKind kind, string value, string kafkaDefault, string documentation)
    {
        List<DescribeConfigsSynonym> synonyms = [TopicConfigs.Synonym(name, kafkaDefault, ConfigSource.Default)];
        if (value != kafkaDefault)
        {
            synonyms.Insert(0, TopicConfigs.Synonym(name, value, ConfigSource.Broker));
        }

        _entries.Add(new ConfigEntry(name, value, (ConfigSource)synonyms[0].Source, kind, IsReadOnly: true, documentation, synonyms));
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Text(bool flag) => flag ? "true" : "false";

    private static string Text(TimeSpan span) => Text((long)span.TotalMilliseconds);
}
