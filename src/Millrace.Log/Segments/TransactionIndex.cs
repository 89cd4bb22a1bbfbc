using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The aborted transactions whose markers lie in a segment, in the order of the markers: Kafka's <c>.txnindex</c>. A segment without any
/// has an empty one.
/// </summary>
/// <remarks>
/// <code>
/// offset size field              big-endian
///      0    2 version            0
///      2    8 producer id
///     10    8 first offset       of the transaction
///     18    8 last offset        of its marker; rises from entry to entry
///     26    8 last stable offset never falls from entry to entry
/// </code>
/// </remarks>
internal sealed class TransactionIndex : IDisposable
{
    public const int EntryByteCount = 34;

    private const short Version = 0;
    private const int LastOffsetPosition = 18;

    private readonly IndexFile _file;
    private readonly int _foundEntryCount;

    public TransactionIndex(LazyFile file, int entryCount)
    {
        _file = new IndexFile(file, EntryByteCount, entryCount);
        _foundEntryCount = entryCount;
    }

    public LazyFile File => _file.File;

    public int EntryCount => _file.EntryCount;

    public static void WriteEntry(Span<byte> bytes, in AbortedTransaction transaction)
    {
        BinaryPrimitives.WriteInt16BigEndian(bytes, Version);
        BinaryPrimitives.WriteInt64BigEndian(bytes[2..], transaction.ProducerId);
        BinaryPrimitives.WriteInt64BigEndian(bytes[10..], transaction.FirstOffset.Value);
        BinaryPrimitives.WriteInt64BigEndian(bytes[LastOffsetPosition..], transaction.LastOffset.Value);
        BinaryPrimitives.WriteInt64BigEndian(bytes[26..], transaction.LastStableOffset.Value);
    }

    public static AbortedTransaction ReadEntry(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadInt64BigEndian(bytes[2..]),
        new Offset(BinaryPrimitives.ReadInt64BigEndian(bytes[10..])),
        new Offset(BinaryPrimitives.ReadInt64BigEndian(bytes[LastOffsetPosition..])),
        new Offset(BinaryPrimitives.ReadInt64BigEndian(bytes[26..])));

    public void Append(in AbortedTransaction transaction)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        WriteEntry(entry, transaction);
        _file.Append(entry);
    }

    /// <summary>
    /// Adds the transactions that have records between two offsets. True if there can be none in later segments: a transaction that was
    /// open when another one ended begins at or after the last stable offset of that one.
    /// </summary>
    /// <exception cref="IOException">The file has lost entries.</exception>
    public bool Collect(Offset from, Offset upTo, List<AbortedTransaction> found)
    {
        int entryCount = EntryCount;
        int first = _file.FindFirstNotBefore(
            from.Value, static (entry, target) => BinaryPrimitives.ReadInt64BigEndian(entry[LastOffsetPosition..]) < target);
        Span<byte> entry = stackalloc byte[EntryByteCount];
        for (int number = first; number < entryCount; number++)
        {
            if (!_file.TryRead(number, entry))
            {
                throw new IOException($"{_file.File.Path} has lost its entry {number}.");
            }

            AbortedTransaction transaction = ReadEntry(entry);
            if (transaction.FirstOffset < upTo && transaction.LastOffset >= from)
            {
                found.Add(transaction);
            }

            if (transaction.LastStableOffset >= upTo)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// The first of the entries that it had when it was opened which cannot be one: of another version, of a transaction that ends before it begins or outside of its segment, or not behind the
    /// entry before it. Null where there is none.
    /// </summary>
    /// <param name="start">Where the segment begins.</param>
    /// <param name="end">Where it ends.</param>
    public int? FindImpossible(Offset start, Offset end)
    {
        Span<byte> entry = stackalloc byte[EntryByteCount];
        Offset last = start + -1;
        Offset stable = Offset.Zero;
        for (int number = 0; number < _foundEntryCount; number++)
        {
            bool isRead = _file.TryRead(number, entry) && BinaryPrimitives.ReadInt16BigEndian(entry) == Version;
            AbortedTransaction read = ReadEntry(entry);
            bool isPossible = isRead && read.ProducerId >= 0 && read.FirstOffset >= Offset.Zero && read.FirstOffset < read.LastOffset && read.LastOffset > last && read.LastOffset < end
                && read.LastStableOffset >= stable && read.LastStableOffset <= read.LastOffset + 1;
            if (!isPossible)
            {
                return number;
            }

            last = read.LastOffset;
            stable = read.LastStableOffset;
        }

        return null;
    }

    public void SyncIfDirty() => _file.File.SyncIfDirty();

    public void Dispose() => _file.Dispose();
}
