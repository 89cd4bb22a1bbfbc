using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What the indexes of a segment have to be, from its batches.</summary>
internal sealed class IndexContent
{
    private readonly List<byte> _offsets = [];
    private readonly List<byte> _times = [];
    private readonly List<byte> _transactions = [];
    private readonly Offset _baseOffset;

    public IndexContent(Offset baseOffset, LogSettings settings)
    {
        _baseOffset = baseOffset;
        Progress = new IndexProgress(baseOffset, settings);
    }

    /// <summary>Where the next batch goes on.</summary>
    public IndexProgress Progress { get; }

    public int OffsetEntryCount => _offsets.Count / OffsetIndex.EntryByteCount;

    public int TimeEntryCount => _times.Count / TimeIndex.EntryByteCount;

    public int TransactionEntryCount => _transactions.Count / TransactionIndex.EntryByteCount;

    public byte[] Offsets => [.. _offsets];

    public byte[] Times => [.. _times];

    public byte[] Transactions => [.. _transactions];

    public void Observe(in RecordBatchHeader header, int position)
    {
        if (!Progress.Observe(header, position, out int relativeOffset))
        {
            return;
        }

        AddTimeEntry();
        Span<byte> entry = stackalloc byte[OffsetIndex.EntryByteCount];
        OffsetIndex.WriteEntry(entry, relativeOffset, position);
        _offsets.AddRange(entry);
        Progress.Indexed(position);
    }

    public void Observe(in AbortedTransaction transaction)
    {
        Span<byte> entry = stackalloc byte[TransactionIndex.EntryByteCount];
        TransactionIndex.WriteEntry(entry, transaction);
        _transactions.AddRange(entry);
    }

    /// <summary>The segment has a successor.</summary>
    public void Complete() => AddTimeEntry();

    public OffsetIndex OpenOffsetIndex(LazyFile file) => new(file, _baseOffset, OffsetEntryCount);

    public TimeIndex OpenTimeIndex(LazyFile file) => new(file, _baseOffset, TimeEntryCount);

    public TransactionIndex OpenTransactionIndex(LazyFile file) => new(file, TransactionEntryCount);

    private void AddTimeEntry()
    {
        if (!Progress.IsTimeEntryDue)
        {
            return;
        }

        Span<byte> entry = stackalloc byte[TimeIndex.EntryByteCount];
        TimeIndex.WriteEntry(entry, Progress.LatestTimestamp, Progress.LatestRelativeOffset);
        _times.AddRange(entry);
        Progress.TimeIndexed();
    }
}
