using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>Topics and partitions that the application has named and that cannot be read: it waits for them, so they are told, each once until that changes.</content>
public sealed partial class KafkaConsumer
{
    private readonly Dictionary<string, ErrorCode> _unusableTopics = [];
    private readonly HashSet<TopicPartition> _missingPartitions = [];
    private IReadOnlyCollection<string> _namedTopics = [];
    private IReadOnlyCollection<TopicPartition> _namedPartitions = [];

    private void WarnOfMissing()
    {
        ClusterView view = _metadata.View;
        List<TopicDescription> unusable = [];
        List<(TopicPartition Partition, int Count)> missing = [];
        lock (_gate)
        {
            foreach (string topic in _namedTopics)
            {
                if (view.Topics.TryGetValue(topic, out TopicDescription? known) && IsNewlyUnusable(known))
                {
                    unusable.Add(known);
                }
            }

            foreach (TopicPartition partition in _namedPartitions)
            {
                if (!view.Topics.TryGetValue(partition.Topic, out TopicDescription? known) || known.Partitions.Count == 0)
                {
                    continue;
                }

                if (known.Partitions.Any(there => there.Partition == partition.Partition))
                {
                    _missingPartitions.Remove(partition);
                }
                else if (_missingPartitions.Add(partition))
                {
                    missing.Add((partition, known.Partitions.Count));
                }
            }
        }

        foreach (TopicDescription topic in unusable)
        {
            if (topic.ErrorCode == ErrorCode.UnknownTopicOrPartition)
            {
                LogMessages.TopicMissing(_logger, topic.Name);
            }
            else
            {
                LogMessages.TopicUnusable(_logger, topic.Name, KafkaErrors.Describe(topic.ErrorCode));
            }
        }

        foreach ((TopicPartition partition, int count) in missing)
        {
            LogMessages.PartitionMissing(_logger, partition, count);
        }
    }

    /// <summary>What passes by itself, such as an election, is not told.</summary>
    private bool IsNewlyUnusable(TopicDescription topic)
    {
        if (topic.ErrorCode != ErrorCode.UnknownTopicOrPartition && KafkaErrors.IsRetriable(topic.ErrorCode))
        {
            return false;
        }

        if (topic.ErrorCode == ErrorCode.None)
        {
            _unusableTopics.Remove(topic.Name);
            return false;
        }

        bool isTold = _unusableTopics.TryGetValue(topic.Name, out ErrorCode told) && told == topic.ErrorCode;
        _unusableTopics[topic.Name] = topic.ErrorCode;
        return !isTold;
    }
}
