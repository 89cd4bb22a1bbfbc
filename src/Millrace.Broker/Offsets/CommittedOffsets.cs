using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// What every group has committed, in memory: the last value of each key of the offsets topic. It holds only what is on the disk, so that nobody
/// reads an offset that a loss of power takes back. Safe for any number of threads.
/// </summary>
/// <remarks>
/// Which value is the last one, its place in the log decides, not the moment at which it is applied: what was committed in a transaction is applied when that
/// ends, and a later commit outside of it may be known by then. Compaction goes by the same order.
/// </remarks>
internal sealed class CommittedOffsets
{
    private readonly ConcurrentDictionary<string, Dictionary<TopicPartition, Placed>> _groups = new(StringComparer.Ordinal);

    public IEnumerable<string> Groups => _groups.Keys;

    public bool Contains(string groupId) => _groups.ContainsKey(groupId);

    /// <summary>Takes over one record; null is a tombstone. Nothing happens if a later one is known.</summary>
    /// <param name="position">Of the record in the log.</param>
    public void Apply(string groupId, TopicPartition partition, CommittedOffset? offset, Offset position)
    {
        while (!TryApply(groupId, partition, offset, position))
        {
            // The group was taken out between the look at it and its lock: what is written there now would be lost.
        }
    }

    /// <summary>Forgets what the group has committed, before its partition of the offsets topic is read again.</summary>
    public void Forget(string groupId)
    {
        if (_groups.TryGetValue(groupId, out Dictionary<TopicPartition, Placed>? offsets))
        {
            lock (offsets)
            {
                _groups.TryRemove(KeyValuePair.Create(groupId, offsets));
            }
        }
    }

    private bool TryApply(string groupId, TopicPartition partition, CommittedOffset? offset, Offset position)
    {
        Dictionary<TopicPartition, Placed> offsets = _groups.GetOrAdd(groupId, static _ => []);
        lock (offsets)
        {
            if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, Placed>? present) || !ReferenceEquals(present, offsets))
            {
                return false;
            }

            bool isLater = !offsets.TryGetValue(partition, out Placed known) || known.Position <= position;
            if (isLater && offset is not null)
            {
                offsets[partition] = new Placed(offset, position);
            }
            else if (isLater)
            {
                offsets.Remove(partition);
            }

            if (offsets.Count == 0)
            {
                _groups.TryRemove(groupId, out _);
            }

            return true;
        }
    }

    public int CountOf(string groupId)
    {
        if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, Placed>? offsets))
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
        if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, Placed>? offsets))
        {
            return false;
        }

        lock (offsets)
        {
            if (offsets.TryGetValue(partition, out Placed placed))
            {
                offset = placed.Offset;
            }
        }

        return offset is not null;
    }

    /// <summary>Everything that the group has committed, by topic and partition.</summary>
    public List<KeyValuePair<TopicPartition, CommittedOffset>> All(string groupId)
    {
        if (!_groups.TryGetValue(groupId, out Dictionary<TopicPartition, Placed>? offsets))
        {
            return [];
        }

        List<KeyValuePair<TopicPartition, CommittedOffset>> all;
        lock (offsets)
        {
            all = [.. offsets.Select(static entry => KeyValuePair.Create(entry.Key, entry.Value.Offset))];
        }

        all.Sort(static (left, right) =>
        {
            int byTopic = string.CompareOrdinal(left.Key.Topic, right.Key.Topic);
            return byTopic != 0 ? byTopic : left.Key.Partition.CompareTo(right.Key.Partition);
        });
        return all;
    }

    private readonly record struct Placed(CommittedOffset Offset, Offset Position);
}
