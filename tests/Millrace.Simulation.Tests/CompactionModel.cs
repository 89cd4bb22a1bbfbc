using System.Text;
using Millrace.Kafka.Records;
using Record = Millrace.Kafka.Records.Record;

namespace Millrace.Simulation.Tests;

/// <summary>What was appended to a compacted partition, kept without the log's help; and what a reader of committed records makes of it.</summary>
internal sealed class CompactionModel
{
    private readonly List<Entry> _entries = [];
    private Action? _inFlight;

    public Offset End => _entries.Count == 0 ? Offset.Zero : _entries[^1].Offset + 1;

    /// <summary>Everything below was synced, or recovered.</summary>
    public Offset Promised { get; set; }

    /// <summary>Where the log starts, as far as somebody was told.</summary>
    public Offset LogStart { get; set; }

    /// <summary>The producers that have written, with their last epoch.</summary>
    public IEnumerable<ProducerIdentity> Producers =>
        _entries.Where(static entry => entry.ProducerId >= 0).Select(static entry => entry.ProducerId).Distinct().Select(id => new ProducerIdentity(id, EpochOf(id)));

    public short EpochOf(long producerId) => _entries.FindLast(entry => entry.ProducerId == producerId)?.Epoch ?? 0;

    /// <summary>Sequences begin anew with every epoch.</summary>
    public int NextSequence(long producerId)
    {
        short epoch = EpochOf(producerId);
        return _entries.Count(entry => entry.ProducerId == producerId && entry.IsCommit is null && entry.Epoch == epoch);
    }

    public IReadOnlyList<long> ProducersInTransaction => [.. OpenTransactions().Keys.Order()];

    public bool HasOpenTransaction(long producerId) => OpenTransactions().ContainsKey(producerId);

    public void Appended(Offset baseOffset, long producerId, bool isTransactional, IReadOnlyList<(string Key, string? Value)> records)
    {
        short epoch = EpochOf(producerId);
        for (int number = 0; number < records.Count; number++)
        {
            _entries.Add(new Entry(baseOffset + number, producerId, epoch, isTransactional, null, records[number].Key, records[number].Value));
        }
    }

    public void Marked(Offset offset, ProducerIdentity producer, bool isCommit) =>
        _entries.Add(new Entry(offset, producer.Id, producer.Epoch, IsTransactional: true, isCommit, "", null));

    /// <summary>Something is on its way into the log: after a crash it may be in it.</summary>
    public void Begin(Action append) => _inFlight = append;

    /// <summary>It is in the log.</summary>
    public void Ended()
    {
        _inFlight?.Invoke();
        _inFlight = null;
    }

    /// <summary>A crash has taken what lies at and beyond the end.</summary>
    public void Recovered(Offset end)
    {
        Ended();
        _entries.RemoveAll(entry => entry.Offset >= end);
        Promised = end;
    }

    /// <summary>The newest value of each key in the committed records between two offsets.</summary>
    public SortedDictionary<string, string> Table(Offset from, Offset upTo)
    {
        var table = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (int number = 0; number < _entries.Count; number++)
        {
            Entry entry = _entries[number];
            if (entry.Offset >= from && entry.Offset < upTo && IsCommitted(number))
            {
                Apply(table, entry.Key, entry.Value);
            }
        }

        return table;
    }

    /// <summary>Whether a record was appended so.</summary>
    public bool Has(Record record) => _entries.Exists(entry =>
        entry.Offset == record.Offset && entry.IsCommit is null && entry.Key == Text(record.Key) && entry.Value == (record.Value is null ? null : Text(record.Value)));

    public static void Apply(SortedDictionary<string, string> table, string key, string? value)
    {
        if (value is null)
        {
            table.Remove(key);
        }
        else
        {
            table[key] = value;
        }
    }

    public static string Text(ReadOnlyMemory<byte>? bytes) => Encoding.UTF8.GetString(bytes.GetValueOrDefault().Span);

    /// <summary>Whether it is a record that a reader gets who wants committed ones only.</summary>
    private bool IsCommitted(int number)
    {
        Entry entry = _entries[number];
        if (entry.IsCommit is not null || !entry.IsTransactional)
        {
            return entry.IsCommit is null;
        }

        Entry? marker = _entries.Skip(number + 1).FirstOrDefault(other => other.ProducerId == entry.ProducerId && other.IsCommit is not null);
        return marker?.IsCommit == true;
    }

    /// <summary>By producer, where they begin.</summary>
    private Dictionary<long, Offset> OpenTransactions()
    {
        var open = new Dictionary<long, Offset>();
        foreach (Entry entry in _entries.Where(static entry => entry.IsTransactional))
        {
            if (entry.IsCommit is not null)
            {
                open.Remove(entry.ProducerId);
            }
            else
            {
                open.TryAdd(entry.ProducerId, entry.Offset);
            }
        }

        return open;
    }

    /// <summary>A record or a marker.</summary>
    /// <param name="IsCommit">Null for a record.</param>
    private sealed record Entry(Offset Offset, long ProducerId, short Epoch, bool IsTransactional, bool? IsCommit, string Key, string? Value);
}
