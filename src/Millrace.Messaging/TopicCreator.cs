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
    private readonly ConcurrentDictionary<string, byte> _known = new();

    public bool IsKnown(string topic) => _known.ContainsKey(topic);

    /// <summary>Returns when the topics exist.</summary>
    /// <exception cref="KafkaException">The controller refused one, or did not answer in time.</exception>
    public async Task EnsureAsync(IReadOnlyCollection<string> topics, CancellationToken cancellationToken)
    {
        List<NewTopic> missing = [.. topics.Where(topic => !IsKnown(topic)).Select(topic => new NewTopic(topic, partitionCount))];
        if (missing.Count == 0) return;

        foreach (CreateTopicResult result in await admin.CreateTopicsAsync(missing, cancellationToken))
        {
            if (result.Created) LogMessages.TopicCreated(logger, result.Topic, partitionCount);
            else if (!result.AlreadyExisted) throw NotCreated(result);
            _known.TryAdd(result.Topic, 0);
        }
    }

    private static KafkaBrokerException NotCreated(CreateTopicResult result) => new(
        $"The topic {result.Topic} cannot be created: {result.Message ?? KafkaErrors.Describe(result.ErrorCode)} ({result.ErrorCode}). Create it by hand, or allow this client to.",
        result.ErrorCode);
}
