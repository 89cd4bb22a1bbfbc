namespace Millrace.Cli.Doctor;

/// <summary>Clocks: of brokers against the one here, and of whoever stamped the records.</summary>
internal static class ClockRules
{
    private static readonly TimeSpan s_allowed = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_bad = TimeSpan.FromSeconds(30);

    /// <summary>How far ahead a record's time may be that somebody's clock gave it just now.</summary>
    public static readonly TimeSpan AllowedAhead = TimeSpan.FromMinutes(1);

    public static IEnumerable<Finding> Skew(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (ClockReading reading in cluster.Clocks ?? [])
        {
            // What is left after all that the round trip may explain.
            TimeSpan certain = reading.Offset.Duration() - reading.Uncertainty;
            if (certain > s_allowed)
            {
                yield return new Finding(
                    certain > s_bad ? Severity.Error : Severity.Warning,
                    "clock-skew",
                    $"broker {reading.BrokerId}",
                    $"The clock of broker {reading.BrokerId} is {Text.Duration(reading.Offset.Duration())} {(reading.Offset > TimeSpan.Zero ? "ahead of" : "behind")} the one here (± {Text.Duration(reading.Uncertainty)}).",
                    "Retention, LogAppendTime, look-ups by time, tokens and certificates go by it: records are deleted too early or too late, and logs of several machines cannot be read together.",
                    "Run chrony or systemd-timesyncd on every broker and client: chronyc tracking shows how far each is off.");
            }
        }
    }

    public static IEnumerable<Finding> Future(ClusterSnapshot cluster, RemedyContext remedies)
    {
        foreach (TopicSnapshot topic in cluster.UserTopics)
        {
            DateTimeOffset? newest = topic.Partitions.Max(partition => partition.NewestRecord);
            if (newest - cluster.TakenAt is not { } ahead || ahead <= AllowedAhead)
            {
                continue;
            }

            bool isBrokersTime = topic.Setting("message.timestamp.type") == "LogAppendTime";
            yield return new Finding(
                Severity.Warning,
                "future-records",
                topic.Name,
                $"{topic.Name} holds a record from {newest:yyyy-MM-dd HH:mm:ss}Z, {Text.Duration(ahead)} from now.",
                "Its segment is kept until that time has come and the retention after it, and look-ups by time find it too early.",
                isBrokersTime
                    ? "The broker set the time: its clock is ahead. Run chrony or systemd-timesyncd on it, and look again with --probe-clock."
                    : $"A producer's clock is ahead, or it sets times itself. Mend it, and refuse such records: {remedies.SetTopic(topic.Name, "message.timestamp.after.max.ms=3600000")} (Kafka 3.6 and later)");
        }
    }
}
