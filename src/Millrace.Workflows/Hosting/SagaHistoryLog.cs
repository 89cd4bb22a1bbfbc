using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// A partition of histories as its records tell it, one after the other: who owned it, and what each owner wrote. A synchronous state
/// machine.
/// </summary>
/// <remarks>
/// <para>An owner begins with a record of its own, under the key <see cref="OwnerKey"/>, whose epoch is above every one before. From that record on, what an
/// earlier owner writes does not count: it has lost the partition and does not know it yet, or its write was on its way for long. Each
/// record says in its key which owner wrote it, so that compaction, which looks at keys alone, takes no record for a later one of another
/// owner.</para>
/// <para>Two that take over at the same time write the same epoch: the one whose record comes first is the owner.</para>
/// </remarks>
internal sealed class SagaHistoryLog
{
    /// <summary>The key of the record that an owner begins with. The keys of histories have a slash.</summary>
    public const string OwnerKey = "owner";

    private readonly Dictionary<string, SortedDictionary<int, ReadOnlyMemory<byte>>> _histories = [];
    private readonly Dictionary<string, ReadOnlyMemory<byte>> _stale = [];

    /// <summary>The present owner's epoch; 0 before the first.</summary>
    public int Epoch { get; private set; }

    /// <summary>Where the present owner began.</summary>
    public Offset? EpochOffset { get; private set; }

    /// <summary>What instances have, by instance and sequence number. Of a number that was written twice, the last counts.</summary>
    public IReadOnlyDictionary<string, SortedDictionary<int, ReadOnlyMemory<byte>>> Histories => _histories;

    /// <summary>The keys of records that do not count, as they were written after another owner had begun.</summary>
    public IReadOnlyCollection<ReadOnlyMemory<byte>> StaleKeys => _stale.Values;

    /// <summary>Takes in the next record.</summary>
    public void Add(ConsumerRecord record)
    {
        if (record.Key is not { } key) return;
        if (SagaMessages.IsOwnerKey(key.Span))
        {
            if (record.Value is { } owner && SagaMessages.TryReadOwner(owner.Span, out int epoch) && epoch > Epoch)
                (Epoch, EpochOffset) = (epoch, record.Offset);
            return;
        }

        if (!SagaMessages.TryReadHistoryKey(key.Span, out HistoryKey name)) return;
        string text = System.Text.Encoding.UTF8.GetString(key.Span);
        if (record.Value is not { } value)
        {
            // A stale record that a later owner has done away with.
            _stale.Remove(text);
        }
        else if (name.Epoch < Epoch)
        {
            _stale[text] = key;
        }
        else
        {
            // Compaction keeps the last owner's first record only; those before it were there all the same.
            if (name.Epoch > Epoch) (Epoch, EpochOffset) = (name.Epoch, null);
            if (!_histories.TryGetValue(name.InstanceId, out SortedDictionary<int, ReadOnlyMemory<byte>>? events))
                _histories.Add(name.InstanceId, events = []);
            events[name.Sequence] = value;
        }
    }
}
