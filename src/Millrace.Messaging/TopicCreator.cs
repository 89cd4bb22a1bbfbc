using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace;

/// <summary>
/// Creates topics before they are used, with the partition count that the options say: a topic that the broker creates on
/// first use gets the broker's default, which is one.
/// </summary>
internal sealed class TopicCreator(KafkaAdmin admin, int partitionCount, ILogger logger)
{
    private static readonly Dictionary<string, string> s_compacted = new(StringComparer.Ordinal) { ["cleanup.policy"] = "compact" };

    private readonly ConcurrentDictionary<string, byte> _known = new();

    public bool IsKnown(string topic) => _known.ContainsKey(topic);

    /// <summary>Returns when the topics exist.</summary>
    /// <exception cref="KafkaException">The controller refused one, or did not answer in time.</exception>
    public Task EnsureAsync(IReadOnlyCollection<string> topics, CancellationToken cancellationToken) =>
        EnsureAsync([.. topics.Select(topic => new NewTopic(topic, partitionCount))], cancellationToken);

    /// <summary>Returns when the topics exist; one that exists already stays as it is.</summary>
    /// <exception cref="KafkaException">The controller refused one, or did not answer in time.</exception>
    public async Task EnsureAsync(IReadOnlyCollection<NewTopic> topics, CancellationToken cancellationToken)
    {
        List<NewTopic> missing = [.. topics.Where(topic => !IsKnown(topic.Name))];
        if (missing.Count == 0) return;

        List<NewTopic> plain = [];
        foreach ((NewTopic topic, CreateTopicResult result) in missing.Zip(await admin.CreateTopicsAsync(missing, cancellationToken)))
        {
            // A broker that does not compact keeps more than is needed, which is safe: the state is read in full all the same.
            if (result.ErrorCode == ErrorCode.InvalidConfig && topic.Configuration.Count > 0) plain.Add(new NewTopic(topic.Name, topic.PartitionCount));
            else Accept(topic, result);
        }

        if (plain.Count == 0) return;
        foreach ((NewTopic topic, CreateTopicResult result) in plain.Zip(await admin.CreateTopicsAsync(plain, cancellationToken))) Accept(topic, result);
    }

    /// <summary>Returns when a processor's topics exist, all with its partition count.</summary>
    /// <exception cref="MillraceConfigurationException">One exists with another count.</exception>
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

        if (problems.Count > 0) throw new MillraceConfigurationException(problems);
    }

    /// <summary>How many partitions topics have.</summary>
    public async Task<IReadOnlyDictionary<string, int>> CountPartitionsAsync(IReadOnlyCollection<string> topics, CancellationToken cancellationToken) =>
        (await admin.DescribeAsync(topics, cancellationToken)).Topics.ToDictionary(topic => topic.Name, topic => topic.Partitions.Count, StringComparer.Ordinal);

    private void Accept(NewTopic topic, CreateTopicResult result)
    {
        if (result.Created) LogMessages.TopicCreated(logger, result.Topic, topic.PartitionCount);
        else if (!result.AlreadyExisted) throw NotCreated(result);
        _known.TryAdd(result.Topic, 0);
    }

    private static KafkaBrokerException NotCreated(CreateTopicResult result) => new(
        $"The topic {result.Topic} cannot be created: {result.Message ?? KafkaErrors.Describe(result.ErrorCode)} ({result.ErrorCode}). Create it by hand, or allow this client to.",
        result.ErrorCode);
}
