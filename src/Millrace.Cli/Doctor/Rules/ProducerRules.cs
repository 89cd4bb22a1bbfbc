namespace Millrace.Cli.Doctor;

/// <summary>The application's producers: what their settings say, and what the partitions say of what is being written.</summary>
internal static class ProducerRules
{
    private const int MaxIdempotentInFlight = 5;
    private static readonly TimeSpan s_recent = TimeSpan.FromHours(1);

    public static IEnumerable<Finding> Settings(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (ProducerConfiguration producer in cluster.Producers)
        {
            if (producer.Settings.TryGetValue("acks", out string? acks) && acks.ToLowerInvariant() is not ("all" or "-1"))
            {
                yield return new Finding(
                    Severity.Error,
                    "producer-settings",
                    producer.Source,
                    $"{producer.Source} sets acks={acks}.",
                    acks.ToLowerInvariant() is "0" or "none"
                        ? "Nobody acknowledges: records are lost without notice, at every restart of a broker."
                        : "The leader alone acknowledges: when it fails before the others have copied, acknowledged records are gone.",
                    $"Set acks=all in {producer.Source}.");
            }

            bool isSaid = producer.Settings.TryGetValue("enable.idempotence", out string? idempotence);
            if (isSaid && !string.Equals(idempotence, "true", StringComparison.OrdinalIgnoreCase))
            {
                yield return new Finding(
                    Severity.Error,
                    "producer-settings",
                    producer.Source,
                    $"{producer.Source} sets enable.idempotence={idempotence}.",
                    "A retry after a lost answer writes the record twice, and with several requests in flight out of order.",
                    $"Set enable.idempotence=true in {producer.Source}.");
            }
            else if (!isSaid)
            {
                yield return new Finding(
                    Severity.Note,
                    "producer-settings",
                    producer.Source,
                    $"{producer.Source} does not say enable.idempotence.",
                    "Java's producer (3.0 and later) and Millrace's are idempotent by default with acks=all; librdkafka's, and with it Confluent.Kafka's and kcat's, and kafkajs's are not.",
                    $"Set enable.idempotence=true in {producer.Source}, whichever client reads it.");
            }

            if (producer.Settings.TryGetValue("max.in.flight.requests.per.connection", out string? text) && int.TryParse(text, out int inFlight) && inFlight > MaxIdempotentInFlight)
            {
                yield return new Finding(
                    Severity.Error,
                    "producer-settings",
                    producer.Source,
                    $"{producer.Source} sets max.in.flight.requests.per.connection={inFlight}.",
                    $"Brokers remember {MaxIdempotentInFlight} batches of a producer: with more in flight, retries can reorder records, and an idempotent producer refuses to start.",
                    $"Set max.in.flight.requests.per.connection={MaxIdempotentInFlight} in {producer.Source}.");
            }

            if (producer.Settings.TryGetValue("retries", out string? retries) && retries == "0")
            {
                yield return new Finding(
                    Severity.Warning,
                    "producer-settings",
                    producer.Source,
                    $"{producer.Source} sets retries=0.",
                    "A leader that moves, which every restart of a broker does, fails the records that are under way.",
                    $"Remove retries from {producer.Source}, and bound the time by delivery.timeout.ms instead.");
            }
        }
    }

    /// <summary>A partition remembers the idempotent producers of at least the last day (producer.id.expiration.ms): fresh records and nobody remembered means that somebody else wrote them.</summary>
    public static IEnumerable<Finding> Writes(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (TopicSnapshot topic in cluster.UserTopics)
        {
            PartitionSnapshot[] plain =
            [
                .. topic.Partitions.Where(partition => partition is { KnownProducerCount: 0, NewestRecord: { } newest }
                    && cluster.TakenAt - newest < s_recent && newest - cluster.TakenAt <= ClockRules.AllowedAhead),
            ];
            if (plain.Length > 0)
            {
                yield return new Finding(
                    Severity.Warning,
                    "idempotent-writes",
                    topic.Name,
                    $"Records from within the last hour lie in {Text.Counted(plain.Length, "partition")} of {topic.Name} that remember no idempotent producer ({Text.Some(plain.Select(partition => partition.Partition).ToArray())}).",
                    "Whoever wrote them does so without idempotence: a retry after a lost answer writes a record twice, or out of order.",
                    "Set enable.idempotence=true (and acks=all) in the producers of this topic; the doctor reads their settings with --application FILE.");
            }
        }
    }
}
