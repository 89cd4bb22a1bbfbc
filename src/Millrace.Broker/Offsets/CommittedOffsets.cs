using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// What every group has committed, in memory: the last value of each key of the offsets topic. It holds only what is on the disk, so that nobody
/// reads an offset that a loss of power takes back. Safe for any number of threads.
/// </summary>
internal sealed class CommittedOffsets
{
    private readonly ConcurrentDictionary<string, Dictionary<TopicPartition, CommittedOffset>> _groups = new(StringComparer.Ordinal);

    public IEnumerable<string> Groups => _groups.Keys;

    public bool Contains(string groupId) => _groups.ContainsKey(groupId);

    /// <summary>Takes over one record; null is a tombstone. The caller brings the records of a group in the order of the log.</summary>
    public void Apply(string groupId, TopicPartition partition, CommittedOffset? offset)
    {
        Dictionary<TopicPartition, CommittedOffset> offsets = _groups.GetOrAdd(groupId, static _ => []);
        lock (offsets)
        {
            if (offset is null)
            {
                offsets.Remove(partition);
                if (offsets.Count == 0)
                {
                    // Nobody else changes this group meanwhile, since its records come one after the other.
                    _groups.TryRemove(groupId, out _);
                }
            }
            else
            {
                offsets[partition] = offset;
            }
        }
    }

    public int CountOf(string groupId)
    {
        if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, CommittedOffset>? offsets))
        {
            return 0;
        }

        lock (offsets)
        {
            return offsets.Count;
        }
    }

    public bool TryGet(string groupId, TopicPartition partition, [NotNullWhen(true)] out CommittedOffset? offset)
    {
        offset = null;
        if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, CommittedOffset>? offsets))
        {
            return false;
        }

        lock (offsets)
        {
            return offsets.TryGetValue(partition, out offset);
        }
    }

    /// <summary>Everything that the group has committed, by topic and partition.</summary>
    public List<KeyValuePair<TopicPartition, CommittedOffset>> All(string groupId)
    {
        if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, CommittedOffset>? offsets))
        {
            return [];
        }

        List<KeyValuePair<TopicPartition, CommittedOffset>> all;
        lock (offsets)
        {
            all = [.. offsets];
        }

        all.Sort(static (left, right) =>
        {
            int byTopic = string.CompareOrdinal(left.Key.Topic, right.Key.Topic);
            return byTopic != 0 ? byTopic : left.Key.Partition.CompareTo(right.Key.Partition);
        });
        return all;
    }
}
