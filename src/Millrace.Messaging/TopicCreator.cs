using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace;

/// <summary>What a topic that is created gets.</summary>
/// <param name="PartitionCount">Its partitions, where its user does not say.</param>
/// <param name="ReplicationFactor">Its copies; -1 for what the brokers are set to.</param>
/// <param name="Configuration">Settings by Kafka's names.</param>
internal sealed record TopicSettings(int PartitionCount, short ReplicationFactor, IReadOnlyDictionary<string, string> Configuration);

/// <summary>
/// Creates topics before they are used, with what the options say: a topic that the broker creates on first use gets the broker's
/// defaults, which are one partition and one copy.
/// </summary>
/// <remarks>
/// Several processes may create one topic at the same time: one of them does, and all find it. A topic is there when a broker shows its
/// partitions, which on a cluster is a moment after it was created. What exists already needs no leave to create topics.
/// </remarks>
internal sealed class TopicCreator(KafkaAdmin admin, TopicSettings settings, TimeProvider time, ILogger logger)
{
    private const string CleanupPolicy = "cleanup.policy";

    private static readonly Dictionary<string, string> s_compacted = new(StringComparer.Ordinal) { [CleanupPolicy] = "compact" };
    private static readonly TimeSpan s_visibility = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_brokerPatience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, byte> _known = new();

    public bool IsKnown(string topic) => _known.ContainsKey(topic);

    /// <summary>Returns when the topics exist.</summary>
    /// <exception cref="KafkaException">The controller refused one, or did not answer in time.</exception>
    public Task EnsureAsync(IReadOnlyCollection<string> topics, CancellationToken cancellationToken) =>
        EnsureAsync([.. topics.Select(topic => new NewTopic(topic, settings.PartitionCount))], cancellationToken);

    /// <summary>Returns when the topics exist; one that exists already stays as it is.</summary>
    /// <exception cref="KafkaException">The controller refused one, or did not answer in time.</exception>
    public async Task EnsureAsync(IReadOnlyCollection<NewTopic> topics, CancellationToken cancellationToken)
    {
        List<NewTopic> unknown = [.. topics.Where(topic => !IsKnown(topic.Name)).Select(WithSettings)];
        if (unknown.Count == 0) return;

        Dictionary<string, TopicDescription> found = await DescribeAsync([.. unknown.Select(topic => topic.Name)], cancellationToken);
        List<NewTopic> missing = [.. unknown.Where(topic => found[topic.Name].ErrorCode == ErrorCode.UnknownTopicOrPartition)];
        if (missing.Count > 0) await CreateAsync(missing, cancellationToken);
        await CountPartitionsAsync([.. unknown.Select(topic => topic.Name)], cancellationToken);
        foreach (NewTopic topic in unknown) _known.TryAdd(topic.Name, 0);
    }

    /// <summary>Returns when a processor's topics exist, all with its partition count, and those that hold its state keep it.</summary>
    /// <exception cref="MillraceConfigurationException">One exists with another count, or throws records away.</exception>
    /// <exception cref="KafkaException">The controller refused one, or did not answer in time.</exception>
    public async Task EnsureExactAsync(ProcessorOptions processor, CancellationToken cancellationToken)
    {
        await EnsureAsync(
            [
                new NewTopic(processor.Topic, processor.PartitionCount),
                .. processor.CompanionTopics.Select(companion => new NewTopic(companion, processor.PartitionCount) { Configuration = s_compacted }),
            ],
            cancellationToken);
        List<string> problems = [];
        foreach ((string topic, int count) in await CountPartitionsAsync([processor.Topic, .. processor.CompanionTopics], cancellationToken))
        {
            if (count == processor.PartitionCount) continue;
            problems.Add(
                $"The topic {topic} has {count} partitions, and '{processor.Name}' works on exactly {processor.PartitionCount}: what is stored in it was placed by its count. Set the partition count of '{processor.Name}' to {count}, or let it finish its work, and start it under another name.");
        }

        await CheckCompactionAsync(processor, problems, cancellationToken);
        if (problems.Count > 0) throw new MillraceConfigurationException(problems);
    }

    /// <summary>How many partitions topics have. Waits for those that the broker that answers does not know yet.</summary>
    /// <exception cref="KafkaException">One stays unknown, or may not be looked at.</exception>
    public async Task<IReadOnlyDictionary<string, int>> CountPartitionsAsync(IReadOnlyCollection<string> topics, CancellationToken cancellationToken)
    {
        long started = time.GetTimestamp();
        TimeSpan pause = s_firstPause;
        while (true)
        {
            Dictionary<string, TopicDescription> found = await DescribeAsync(topics, cancellationToken);
            if (found.Values.FirstOrDefault(topic => !IsThere(topic)) is not { } absent)
                return found.Values.ToDictionary(topic => topic.Name, topic => topic.Partitions.Count, StringComparer.Ordinal);

            if (absent.ErrorCode != ErrorCode.None && !KafkaErrors.IsRetriable(absent.ErrorCode))
                throw new KafkaBrokerException($"The topic {absent.Name} cannot be used: {KafkaErrors.Describe(absent.ErrorCode)}", absent.ErrorCode);
            if (time.GetElapsedTime(started) > s_visibility)
                throw new KafkaTimeoutException($"The brokers do not show the topic {absent.Name} {s_visibility} after it was looked for. {KafkaErrors.Describe(absent.ErrorCode)}", absent.ErrorCode);
            await Task.Delay(pause, time, cancellationToken);
            pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
        }
    }

    /// <summary>A companion that was made by somebody else may throw its records away after a while, and state with them.</summary>
    private async Task CheckCompactionAsync(ProcessorOptions processor, List<string> problems, CancellationToken cancellationToken)
    {
        if (processor.CompanionTopics.Count == 0) return;
        foreach ((ConfigResource topic, AdminResult<IReadOnlyDictionary<string, ConfigEntry>> result) in
            await admin.DescribeConfigsAsync([.. processor.CompanionTopics.Select(ConfigResource.Topic)], cancellationToken: cancellationToken))
        {
            if (!result.IsSuccess) LogMessages.SettingsUnknown(logger, topic.Name, result.Failure!.Message);
            else if (result.Value.TryGetValue(CleanupPolicy, out ConfigEntry? policy) && policy.Value?.Contains("delete", StringComparison.Ordinal) == true)
                problems.Add($"The topic {topic.Name} has {CleanupPolicy}={policy.Value}, which throws its records away after a while, and they are the state of '{processor.Name}'. Set it to compact: kafka-configs.sh --alter --entity-type topics --entity-name {topic.Name} --add-config {CleanupPolicy}=compact.");
        }
    }

    private static bool IsThere(TopicDescription topic) => topic.Partitions.Count > 0 && topic.ErrorCode is ErrorCode.None or ErrorCode.LeaderNotAvailable;

    private async Task CreateAsync(List<NewTopic> topics, CancellationToken cancellationToken)
    {
        long started = time.GetTimestamp();
        while (true)
        {
            List<NewTopic> tooFewBrokers = [];
            IReadOnlyDictionary<string, CreateTopicResult> results = await admin.CreateTopicsAsync(topics, cancellationToken);
            foreach (NewTopic topic in topics)
            {
                CreateTopicResult result = results[topic.Name];
                if (result.Created) LogMessages.TopicCreated(logger, result.Topic, topic.PartitionCount);
                else if (result.ErrorCode == ErrorCode.InvalidReplicationFactor && time.GetElapsedTime(started) < s_brokerPatience) tooFewBrokers.Add(topic);
                else if (!result.AlreadyExisted) throw NotCreated(result);
            }

            if (tooFewBrokers.Count == 0) return;

            // A cluster that is just starting: its other brokers are on their way.
            int brokerCount = (await admin.DescribeAsync([], cancellationToken)).Brokers.Count;
            LogMessages.TooFewBrokers(logger, tooFewBrokers[0].Name, settings.ReplicationFactor, brokerCount, s_brokerPatience);
            await Task.Delay(s_longestPause, time, cancellationToken);
            topics = tooFewBrokers;
        }
    }

    private async Task<Dictionary<string, TopicDescription>> DescribeAsync(IReadOnlyCollection<string> topics, CancellationToken cancellationToken)
    {
        Dictionary<string, TopicDescription> found =
            (await admin.DescribeAsync(topics, cancellationToken)).Topics.ToDictionary(topic => topic.Name, StringComparer.Ordinal);
        foreach (string topic in topics) found.TryAdd(topic, new TopicDescription(topic, Guid.Empty, ErrorCode.UnknownTopicOrPartition, IsInternal: false, []));
        return found;
    }

    private NewTopic WithSettings(NewTopic topic) => topic with
    {
        ReplicationFactor = settings.ReplicationFactor,
        // What a topic is for comes before what all topics get.
        Configuration = settings.Configuration.Concat(topic.Configuration).GroupBy(setting => setting.Key).ToDictionary(setting => setting.Key, setting => setting.Last().Value, StringComparer.Ordinal),
    };

    private static KafkaException NotCreated(CreateTopicResult result) => result.Failure is KafkaBrokerException refusal
        ? new KafkaBrokerException(
            $"The topic {result.Topic} cannot be created: {refusal.Message} " + (refusal.ErrorCode == ErrorCode.InvalidReplicationFactor
                ? "Set ReplicationFactor of UseKafka to at most the number of brokers, or start the missing ones."
                : "Create it by hand, or allow this client to."),
            refusal.ErrorCode)
        : result.Failure!;
}
