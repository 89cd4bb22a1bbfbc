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

    public TransactionIndex(LazyFile file, int entryCount) => _file = new IndexFile(file, EntryByteCount, entryCount);

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

    public void SyncIfDirty() => _file.File.SyncIfDirty();

    public void Dispose() => _file.Dispose();
}
