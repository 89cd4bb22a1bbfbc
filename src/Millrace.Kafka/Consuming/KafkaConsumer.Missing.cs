using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <content>Topics that the application has named and that do not exist: it waits for them, so they are told, each once until it appears.</content>
public sealed partial class KafkaConsumer
{
    private readonly HashSet<string> _missingTopics = [];
    private IReadOnlyCollection<string> _namedTopics = [];

    private void WarnOfMissingTopics()
    {
        ClusterView view = _metadata.View;
        List<string> missing = [];
        lock (_gate)
        {
            foreach (string topic in _namedTopics)
            {
                if (!view.Topics.TryGetValue(topic, out TopicDescription? known))
                {
                    continue;
                }

                if (known.ErrorCode != ErrorCode.UnknownTopicOrPartition)
                {
                    _missingTopics.Remove(topic);
                }
                else if (_missingTopics.Add(topic))
                {
                    missing.Add(topic);
                }
            }
        }

        foreach (string topic in missing)
        {
            LogMessages.TopicMissing(_logger, topic);
        }
    }
}
