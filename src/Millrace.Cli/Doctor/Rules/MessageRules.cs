namespace Millrace.Cli.Doctor;

/// <summary>How large messages may be.</summary>
internal static class MessageRules
{
    private const long LargeMessageByteCount = 10 * 1024 * 1024;

    /// <summary>Offset and length of a batch. Kafka's default of <c>max.message.bytes</c> is larger by them than that of <c>replica.fetch.max.bytes</c>.</summary>
    private const long BatchOverheadByteCount = 12;

    public static IEnumerable<Finding> Sizes(ClusterSnapshot cluster, RemedyContext remedies)
    {
        long? socketLimit = Smallest(cluster, "socket.request.max.bytes");
        long? replicaLimit = Smallest(cluster, "replica.fetch.max.bytes");
        foreach (TopicSnapshot topic in cluster.UserTopics)
        {
            if (topic.Number("max.message.bytes") is not { } limit)
            {
                continue;
            }

            if (socketLimit < limit)
            {
                yield return new Finding(
                    Severity.Error,
                    "message-size",
                    topic.Name,
                    $"max.message.bytes of {topic.Name} is {limit}, and the brokers take requests of {socketLimit} bytes (socket.request.max.bytes).",
                    "A batch that the topic allows closes the producer's connection, and is tried again until its time is up.",
                    remedies.SetTopic(topic.Name, $"max.message.bytes={socketLimit / 2}"));
            }
            else if (limit > LargeMessageByteCount)
            {
                yield return new Finding(
                    Severity.Warning,
                    "message-size",
                    topic.Name,
                    $"{topic.Name} takes batches of {Text.Bytes(limit)} (max.message.bytes={limit}).",
                    "Each is held in memory by the producer, the leader, every follower and every consumer; a few at once stall everything else on their connections.",
                    $"Keep large content in an object store and send its address, or in pieces; then {remedies.SetTopic(topic.Name, "max.message.bytes=1048588")}");
            }
            else if (replicaLimit + BatchOverheadByteCount < limit)
            {
                yield return new Finding(
                    Severity.Note,
                    "message-size",
                    topic.Name,
                    $"max.message.bytes of {topic.Name} is {limit}, above replica.fetch.max.bytes={replicaLimit} of the brokers.",
                    "A follower fetches such a batch alone, which works since Kafka 0.10.1 and is slow.",
                    $"Set replica.fetch.max.bytes={limit} in server.properties of each broker, or lower the topic's limit.");
            }
        }

        long? smallestTopic = cluster.UserTopics.Select(topic => topic.Number("max.message.bytes")).Min();
        foreach (ProducerConfiguration producer in cluster.Producers)
        {
            if (producer.Settings.TryGetValue("max.request.size", out string? text) && long.TryParse(text, out long size) && size > smallestTopic)
            {
                TopicSnapshot topic = cluster.UserTopics.First(candidate => candidate.Number("max.message.bytes") == smallestTopic);
                yield return new Finding(
                    Severity.Warning,
                    "message-size",
                    producer.Source,
                    $"{producer.Source} sends up to {size} bytes (max.request.size), and {topic.Name} takes batches of {smallestTopic} (max.message.bytes).",
                    "A record between the two is accepted by the producer and refused by the broker (MESSAGE_TOO_LARGE).",
                    $"Set max.request.size={smallestTopic} in {producer.Source}, or {remedies.SetTopic(topic.Name, $"max.message.bytes={size}")}");
            }
        }
    }

    private static long? Smallest(ClusterSnapshot cluster, string setting) =>
        cluster.Brokers.Select(broker => long.TryParse(broker.Setting(setting), out long value) ? value : (long?)null).Min();
}
