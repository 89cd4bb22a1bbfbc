using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// A partition of histories as its records tell it, one after the other: who owned it, and what each owner wrote. A synchronous state
/// machine.
/// </summary>
/// <remarks>
/// <para>An owner begins with a record of its own, whose epoch is above every one before. From that record on, what an earlier owner writes does
/// not count: it has lost the partition and does not know it yet, or its write was on its way for long.</para>
/// <para>Two that take over at the same time write the same epoch: the one whose record comes first is the owner.</para>
/// <para>No two records have one key, so that compaction, which looks at keys alone, takes none for a later one of another owner, and keeps the
/// beginnings of all owners.</para>
/// </remarks>
internal sealed class SagaHistoryLog
{
    private readonly Dictionary<string, SortedDictionary<int, ReadOnlyMemory<byte>>> _histories = [];

    /// <summary>The present owner's epoch; 0 before the first.</summary>
    public int Epoch { get; private set; }

    /// <summary>Where the present owner began.</summary>
    public Offset? EpochOffset { get; private set; }

    /// <summary>What instances have, by instance and sequence number. Of a number that was written twice, the last counts.</summary>
    public IReadOnlyDictionary<string, SortedDictionary<int, ReadOnlyMemory<byte>>> Histories => _histories;

    /// <summary>How many records do not count, since another owner had begun before they were written.</summary>
    public int LateCount { get; private set; }

    /// <summary>Takes in the next record.</summary>
    public void Add(ConsumerRecord record)
    {
        if (record.Key is not { } key || record.Value is not { } value) return;
        if (SagaMessages.IsOwnerKey(key.Span))
        {
            if (SagaMessages.TryReadOwner(value.Span, out int epoch) && epoch > Epoch) (Epoch, EpochOffset) = (epoch, record.Offset);
            return;
        }

        if (!SagaMessages.TryReadHistoryKey(key.Span, out HistoryKey name)) return;
        if (name.Epoch != Epoch)
        {
            LateCount++;
            return;
        }

        if (!_histories.TryGetValue(name.InstanceId, out SortedDictionary<int, ReadOnlyMemory<byte>>? events))
            _histories.Add(name.InstanceId, events = []);
        events[name.Sequence] = value;
    }
}
