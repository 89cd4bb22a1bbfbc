using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>An offset that a group gets if the transaction is committed in which it was written.</summary>
internal sealed record PendingOffset(string GroupId, TopicPartition Partition, CommittedOffset Offset, Offset Position);

/// <summary>
/// What is committed in transactions that are not ended: by the producer, and by the partition of the offsets topic in which its marker will stand. Nobody reads it;
/// who asks for stable offsets is told to wait for it. Safe for any number of threads.
/// </summary>
internal sealed class PendingOffsets
{
    private readonly Lock _lock = new();

    // Guarded by the lock.
    private readonly Dictionary<(long ProducerId, int OffsetsPartition), List<PendingOffset>> _byTransaction = [];
    private readonly Dictionary<(string GroupId, TopicPartition Partition), int> _counts = [];

    public void Add(long producerId, int offsetsPartition, PendingOffset offset)
    {
        lock (_lock)
        {
            if (!_byTransaction.TryGetValue((producerId, offsetsPartition), out List<PendingOffset>? offsets))
            {
                _byTransaction.Add((producerId, offsetsPartition), offsets = []);
            }

            offsets.Add(offset);
            (string, TopicPartition) key = (offset.GroupId, offset.Partition);
            _counts[key] = _counts.GetValueOrDefault(key) + 1;
        }
    }

    /// <summary>
    /// A marker of this producer in this partition of the offsets topic has ended its transaction. What waited for that is applied before it is pending no more, so that nobody finds an offset
    /// stable and old; and under the lock: a deletion that came between the look and that would find nothing to delete, and what it has deleted would be there again.
    /// </summary>
    /// <param name="apply">Commits an offset; null if the transaction is aborted.</param>
    public void End(long producerId, int offsetsPartition, Action<PendingOffset>? apply)
    {
        lock (_lock)
        {
            if (!_byTransaction.TryGetValue((producerId, offsetsPartition), out List<PendingOffset>? offsets))
            {
                return;
            }

            if (apply is not null)
            {
                offsets.ForEach(apply);
            }

            _byTransaction.Remove((producerId, offsetsPartition));
            offsets.ForEach(Forget);
        }
    }

    /// <summary>Forgets what is in a partition of the offsets topic, which is read again.</summary>
    public void Forget(int offsetsPartition)
    {
        lock (_lock)
        {
            foreach ((long producerId, int partition) in _byTransaction.Keys.Where(key => key.OffsetsPartition == offsetsPartition).ToList())
            {
                _byTransaction.Remove((producerId, partition), out List<PendingOffset>? offsets);
                offsets!.ForEach(Forget);
            }
        }
    }

    /// <summary>The offset was deleted: what was written before that is not committed any more. Called before it is deleted of what is committed.</summary>
    public void Delete(string groupId, TopicPartition partition, Offset position)
    {
        lock (_lock)
        {
            if (!_counts.ContainsKey((groupId, partition)))
            {
                return;
            }

            foreach (List<PendingOffset> offsets in _byTransaction.Values)
            {
                foreach (PendingOffset deleted in offsets.FindAll(offset => offset.GroupId == groupId && offset.Partition == partition && offset.Position < position))
                {
                    offsets.Remove(deleted);
                    Forget(deleted);
                }
            }
        }
    }

    /// <summary>Every group and partition of which something is pending.</summary>
    public IReadOnlyList<(string GroupId, TopicPartition Partition)> All
    {
        get
        {
            lock (_lock)
            {
                return [.. _counts.Keys];
            }
        }
    }

    public bool IsPending(string groupId, TopicPartition partition)
    {
        lock (_lock)
        {
            return _counts.ContainsKey((groupId, partition));
        }
    }

    private void Forget(PendingOffset offset)
    {
        (string, TopicPartition) key = (offset.GroupId, offset.Partition);
        if (_counts[key] == 1)
        {
            _counts.Remove(key);
        }
        else
        {
            _counts[key]--;
        }
    }
}
