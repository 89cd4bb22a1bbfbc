using System.Collections.Frozen;

namespace Millrace.Broker;

/// <summary>
/// What a topic's settings may say. This broker keeps every record and treats all topics alike, so it takes a setting only with the value that it lives up to,
/// and refuses the others instead of ignoring them.
/// </summary>
internal static class TopicSettings
{
    private static readonly FrozenDictionary<string, string[]> LivedUpTo = new Dictionary<string, string[]>(StringComparer.Ordinal)
    {
        ["cleanup.policy"] = ["delete"],
        ["compression.type"] = ["producer"],
        ["message.timestamp.type"] = ["CreateTime"],
        ["min.insync.replicas"] = ["1"],
        ["preallocate"] = ["false"],
        ["remote.storage.enable"] = ["false"],
        ["retention.bytes"] = ["-1"],
        ["retention.ms"] = ["-1"],
        ["unclean.leader.election.enable"] = ["false"],
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenSet<string> OfKafka = new[]
    {
        "delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms", "follower.replication.throttled.replicas", "index.interval.bytes",
        "leader.replication.throttled.replicas", "local.retention.bytes", "local.retention.ms", "max.compaction.lag.ms", "max.message.bytes",
        "message.downconversion.enable", "message.format.version", "message.timestamp.after.max.ms", "message.timestamp.before.max.ms",
        "message.timestamp.difference.max.ms", "min.cleanable.dirty.ratio", "min.compaction.lag.ms", "segment.bytes", "segment.index.bytes",
        "segment.jitter.ms", "segment.ms",
    }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Why a setting is refused, for a person; null if it is taken.</summary>
    public static string? Fault(string name, string? value)
    {
        if (LivedUpTo.TryGetValue(name, out string[]? values))
        {
            return value is not null && values.Contains(value, StringComparer.Ordinal)
                ? null
                : $"This broker takes {name} only as {string.Join(" or ", values)}, not as '{value}'.";
        }

        return OfKafka.Contains(name)
            ? $"This broker does not apply {name}. Create the topic without it."
            : $"There is no topic setting named '{name}'.";
    }
}
