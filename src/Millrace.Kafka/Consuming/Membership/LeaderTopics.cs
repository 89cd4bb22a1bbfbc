namespace Millrace.Kafka;

/// <summary>The partition counts that a leader's assignment was made from; 0 for a topic that did not exist.</summary>
internal sealed record LeaderTopics(IReadOnlyDictionary<string, int> PartitionCounts)
{
    public bool IsComplete { get; } = PartitionCounts.Values.All(count => count > 0);

    public static LeaderTopics From(IEnumerable<string> topics, ClusterView view) =>
        new(topics.ToDictionary(topic => topic, topic => CountOf(topic, view)));

    /// <summary>Whether the cluster still is as it was; a topic that the picture has no good news of counts as unchanged.</summary>
    public bool Matches(ClusterView view) => PartitionCounts.All(pair =>
        !view.Topics.TryGetValue(pair.Key, out TopicDescription? topic)
        || topic.Partitions.Count == pair.Value
        || topic.ErrorCode != Protocol.ErrorCode.None);

    private static int CountOf(string topic, ClusterView view) =>
        view.Topics.TryGetValue(topic, out TopicDescription? known) && known.ErrorCode == Protocol.ErrorCode.None ? known.Partitions.Count : 0;
}
