using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Compares the indexes of a segment with its batches, as they come. Of the offset index every entry has to be true; which batches get one
/// depends on settings that may have changed. What is in the time index follows from the batches and from the offset index, and what is in the
/// index of transactions from the batches alone.
/// </summary>
internal sealed class IndexInspection
{
    /// <summary>An index that knows no batch for so long is not complete, whatever the settings were.</summary>
    private const int MaximumUnindexedByteCount = 1 << 20;

    private readonly Offset _baseOffset;
    private readonly int _maximumUnindexedByteCount;
    private readonly int _maximumEntryCount;
    private readonly Offset _incompleteBelow;
    private readonly bool _isGrowing;
    private readonly EntryFile _offsets;
    private readonly EntryFile _times;
    private readonly EntryFile _transactions;
    private readonly Action<string, long?, string> _report;
    private int _lastIndexedPosition;
    private long _latestTimestamp = -1;
    private int _latestRelativeOffset;
    private long _lastIndexedTimestamp = -1;

    /// <param name="incompleteBelow">
    /// Below, batches are deleted or compacted away. Of a transaction that began there there may be less than there was when it ended, or nothing.
    /// </param>
    /// <param name="isGrowing">Whether a broker may be writing to it: entries behind what was read of the log are not judged.</param>
    /// <param name="report">Takes the name of a file, the byte in it, and what is wrong there.</param>
    public IndexInspection(
        IStorage storage,
        string directory,
        Offset baseOffset,
        Offset incompleteBelow,
        LogSettings settings,
        bool isGrowing,
        Action<string, long?, string> report)
    {
        _baseOffset = baseOffset;
        _incompleteBelow = incompleteBelow;
        _isGrowing = isGrowing;
        _report = report;
        _maximumUnindexedByteCount = Math.Max(MaximumUnindexedByteCount, settings.IndexIntervalByteCount);
        _maximumEntryCount = settings.MaximumIndexByteCount / OffsetIndex.EntryByteCount;

        // The offset index first: the times of its entries are written before them.
        _offsets = Read(storage, directory, FileNames.IndexSuffix, OffsetIndex.EntryByteCount);
        _times = Read(storage, directory, FileNames.TimeIndexSuffix, TimeIndex.EntryByteCount);
        _transactions = Read(storage, directory, FileNames.TransactionIndexSuffix, TransactionIndex.EntryByteCount);
    }

    /// <summary>Whether one of them has to be made anew.</summary>
    public bool IsWrong { get; private set; }

    public void Observe(in RecordBatchHeader header, int position)
    {
        int relativeOffset = (int)(header.LastOffset - _baseOffset);
        if (header.MaxTimestamp > _latestTimestamp)
        {
            _latestTimestamp = header.MaxTimestamp;
            _latestRelativeOffset = relativeOffset;
        }

        if (_offsets.IsFaulty)
        {
            return;
        }

        if (_offsets.Next is { } entry && BinaryPrimitives.ReadInt32BigEndian(entry[4..]) <= position)
        {
            ObserveIndexed(entry, relativeOffset, position);
        }
        else if (position - _lastIndexedPosition > _maximumUnindexedByteCount && _offsets.Number < _maximumEntryCount)
        {
            Fault(_offsets, $"has no entry for the batches of the log from byte {_lastIndexedPosition} to byte {position}");
        }
    }

    /// <summary>A transaction has ended in an abort, as the batches that are left say.</summary>
    public void Observe(in AbortedTransaction expected)
    {
        if (_transactions.IsFaulty)
        {
            return;
        }

        SkipIncomplete(expected.LastOffset);
        if (_transactions.Next is { } entry && IsAsExpected(TransactionIndex.ReadEntry(entry), expected))
        {
            _transactions.Advance();
        }
        else if (!_isGrowing || _transactions.Next is not null)
        {
            string found = _transactions.Next is null ? "lacks" : $"has in entry {_transactions.Number} another one than";
            Fault(_transactions, $"{found} the transaction of producer {expected.ProducerId} that was aborted at offset {expected.LastOffset}");
        }
    }

    /// <summary>The log is damaged here: what it says from here on is nothing to compare with.</summary>
    public void Abandon()
    {
        _offsets.IsFaulty = true;
        _times.IsFaulty = true;
        _transactions.IsFaulty = true;
    }

    /// <param name="isLast">Whether the log has no later segment.</param>
    /// <param name="knowsTransactions">Whether all transactions were seen that ended here.</param>
    public void Complete(bool isLast, bool knowsTransactions)
    {
        if (_isGrowing)
        {
            return;
        }

        if (!_offsets.IsFaulty && _offsets.Next is { } entry)
        {
            Fault(_offsets, $"names in entry {_offsets.Number} byte {BinaryPrimitives.ReadInt32BigEndian(entry[4..])}, where no batch begins");
        }

        // The time index of the last segment may be one entry ahead, where the machine went down before the offset's.
        if (!_offsets.IsFaulty && (!isLast || _times.Next is not null))
        {
            ExpectTime();
        }

        if (!_offsets.IsFaulty && !_times.IsFaulty && _times.Next is not null)
        {
            Fault(_times, $"has in entry {_times.Number} a time that none of the batches gives");
        }

        if (knowsTransactions && !_transactions.IsFaulty)
        {
            SkipIncomplete(new Offset(long.MaxValue));
        }

        if (knowsTransactions && !_transactions.IsFaulty && _transactions.Next is not null)
        {
            Fault(_transactions, $"has in entry {_transactions.Number} a transaction that was not aborted in this segment");
        }
    }

    /// <summary>Passes by transactions that ended before an offset and of which nothing may be left.</summary>
    private void SkipIncomplete(Offset before)
    {
        while (_transactions.Next is { } entry && TransactionIndex.ReadEntry(entry) is var found && found.FirstOffset < _incompleteBelow && found.LastOffset < before)
        {
            _transactions.Advance();
        }
    }

    private bool IsAsExpected(in AbortedTransaction found, in AbortedTransaction expected) =>
        found.ProducerId == expected.ProducerId && found.LastOffset == expected.LastOffset
        && IsFirst(found.FirstOffset, expected.FirstOffset) && IsFirst(found.LastStableOffset, expected.LastStableOffset);

    /// <summary>Whether a transaction began where the index says: with the first batch that is left of it, or an earlier one that is gone.</summary>
    private bool IsFirst(Offset found, Offset left) => found == left || (found < left && found < _incompleteBelow);

    private void ObserveIndexed(ReadOnlySpan<byte> entry, int relativeOffset, int position)
    {
        int foundPosition = BinaryPrimitives.ReadInt32BigEndian(entry[4..]);
        int foundOffset = BinaryPrimitives.ReadInt32BigEndian(entry);
        if (foundPosition != position)
        {
            Fault(_offsets, $"names in entry {_offsets.Number} byte {foundPosition}, where no batch begins");
        }
        else if (foundOffset != relativeOffset)
        {
            Fault(_offsets, $"names in entry {_offsets.Number} offset {_baseOffset + foundOffset} where the batch ends with {_baseOffset + relativeOffset}");
        }
        else
        {
            ExpectTime();
            _offsets.Advance();
            _lastIndexedPosition = position;
        }
    }

    private void ExpectTime()
    {
        if (_times.IsFaulty || _latestTimestamp <= _lastIndexedTimestamp)
        {
            return;
        }

        if (_times.Next is { } entry && BinaryPrimitives.ReadInt64BigEndian(entry) == _latestTimestamp
            && BinaryPrimitives.ReadInt32BigEndian(entry[8..]) == _latestRelativeOffset)
        {
            _times.Advance();
            _lastIndexedTimestamp = _latestTimestamp;
        }
        else
        {
            string found = _times.Next is null ? "lacks" : $"has in entry {_times.Number} another one than";
            Fault(_times, $"{found} the time {_latestTimestamp} of the batch that ends with offset {_baseOffset + _latestRelativeOffset}");
        }
    }

    private EntryFile Read(IStorage storage, string directory, string suffix, int entryByteCount)
    {
        var file = new EntryFile(FileNames.Segment(_baseOffset, suffix), entryByteCount);
        string path = $"{directory}/{file.Name}";
        if (!storage.FileExists(path))
        {
            if (!_isGrowing)
            {
                Fault(file, "is missing", hasPosition: false);
            }

            return file;
        }

        file.Bytes = InspectedFile.ReadAll(storage, path);
        if (!_isGrowing && file.Bytes.Length % entryByteCount != 0)
        {
            Fault(file, $"has {file.Bytes.Length} bytes, which are no whole entries of {entryByteCount}", hasPosition: false);
        }

        return file;
    }

    private void Fault(EntryFile file, string description, bool hasPosition = true)
    {
        file.IsFaulty = true;
        IsWrong = true;
        _report(file.Name, hasPosition ? (long)file.Number * file.EntryByteCount : null, description);
    }

    /// <summary>An index in memory, gone through once. After its first fault it is not looked at any more.</summary>
    private sealed class EntryFile(string name, int entryByteCount)
    {
        public string Name { get; } = name;

        public int EntryByteCount { get; } = entryByteCount;

        public byte[] Bytes { get; set; } = [];

        public int Number { get; private set; }

        public bool IsFaulty { get; set; }

        public byte[]? Next => (Number + 1) * EntryByteCount <= Bytes.Length ? Bytes.AsSpan(Number * EntryByteCount, EntryByteCount).ToArray() : null;

        public void Advance() => Number++;
    }
}
