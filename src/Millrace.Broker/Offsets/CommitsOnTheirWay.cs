using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// What groups are committing: from before it is appended until it is known whether it is on the disk, or that it waits for its transaction. Nobody reads it yet, and nobody may delete what
/// it replaces: the tombstone would stand behind it in the log, and take it along.
/// </summary>
/// <remarks>Safe for any number of threads.</remarks>
internal sealed class CommitsOnTheirWay
{
    // Guarded by the gate: of each group, how many commits of a partition are on their way.
    private readonly Dictionary<string, Dictionary<TopicPartition, int>> _counts = new(StringComparer.Ordinal);

    /// <summary>While it is held none begins or ends. Taken under the lock of a group and before that of a partition of the offsets topic.</summary>
    public Lock Gate { get; } = new();

    public void Begin(string groupId, IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets)
    {
        lock (Gate)
        {
            if (!_counts.TryGetValue(groupId, out Dictionary<TopicPartition, int>? counts))
            {
                _counts.Add(groupId, counts = []);
            }

            foreach ((TopicPartition partition, _) in offsets)
            {
                counts[partition] = counts.GetValueOrDefault(partition) + 1;
            }
        }
    }

    /// <summary>Called after what was committed can be read.</summary>
    public void End(string groupId, IReadOnlyList<KeyValuePair<TopicPartition, CommittedOffset>> offsets)
    {
        lock (Gate)
        {
            Dictionary<TopicPartition, int> counts = _counts[groupId];
            foreach ((TopicPartition partition, _) in offsets)
            {
                if (--counts[partition] == 0)
                {
                    counts.Remove(partition);
                }
            }

            if (counts.Count == 0)
            {
                _counts.Remove(groupId);
            }
        }
    }

    /// <summary>Those of a group; the gate is held by the caller, and for as long as the answer matters.</summary>
    public IReadOnlyCollection<TopicPartition> Of(string groupId) => _counts.TryGetValue(groupId, out Dictionary<TopicPartition, int>? counts) ? counts.Keys : [];
}
