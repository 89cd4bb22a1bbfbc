using System.Buffers;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Goes through the batches of a file from a position on. Owns its pooled buffer until it is disposed; <see cref="Batch"/> is valid
/// until the next step.
/// </summary>
/// <remarks>
/// A batch may be as large as what remains of the file: what was appended under one limit of settings is whole under every other. The buffer grows to the size of a batch once its checksum
/// has been found right piece by piece, so that a length that is wrong takes no memory.
/// </remarks>
internal sealed class BatchWalker : IDisposable
{
    private const int DefaultBufferByteCount = 256 << 10;

    private readonly IStorageFile _file;
    private readonly long _end;
    private readonly bool _verifiesChecksums;
    private byte[] _buffer;
    private long _bufferPosition;
    private int _bufferedByteCount;
    private long _next;

    public BatchWalker(IStorageFile file, long start, long end, bool verifiesChecksums, int bufferByteCount = DefaultBufferByteCount)
    {
        _file = file;
        _end = end;
        _verifiesChecksums = verifiesChecksums;
        _next = start;
        _buffer = ArrayPool<byte>.Shared.Rent((int)Math.Clamp(end - start, RecordBatchHeader.ByteCount, Math.Max(bufferByteCount, RecordBatchHeader.ByteCount)));
    }

    /// <summary>Where the current batch begins, or where the first bytes lie that are no batch.</summary>
    public long Position { get; private set; }

    public RecordBatchHeader Header { get; private set; }

    /// <summary>What is wrong with the bytes at <see cref="Position"/>.</summary>
    public BatchVerdict Verdict { get; private set; }

    /// <summary>The bytes of the current batch; empty where checksums are not verified, unless it is a control batch.</summary>
    public ReadOnlyMemory<byte> Batch { get; private set; }

    /// <summary>False at the end, and at bytes that are no batch: then <see cref="Verdict"/> is not <see cref="BatchVerdict.Valid"/>.</summary>
    public bool MoveNext()
    {
        Position = _next;
        Verdict = BatchVerdict.Valid;
        if (_next >= _end)
        {
            return false;
        }

        ReadOnlyMemory<byte> bytes = Buffer(RecordBatchHeader.ByteCount);
        if (bytes.Length < RecordBatchHeader.ByteCount)
        {
            Verdict = BatchVerdict.Incomplete;
            return false;
        }

        Header = RecordBatchHeader.Read(bytes.Span);
        Verdict = JudgeHeader();
        bool isRead = Verdict == BatchVerdict.Valid && (_verifiesChecksums || Header.IsControl);
        if (isRead && Header.TotalByteCount > _buffer.Length && !IsChecksumRight())
        {
            Verdict = BatchVerdict.BadChecksum;
            isRead = false;
        }

        Batch = isRead ? Buffer(Header.TotalByteCount) : default;
        if (isRead && _verifiesChecksums)
        {
            Verdict = RecordBatch.Check(Batch.Span, out _);
        }

        if (Verdict != BatchVerdict.Valid)
        {
            return false;
        }

        _next += Header.TotalByteCount;
        return true;
    }

    /// <summary>
    /// Goes on behind a batch that is damaged inside, after <see cref="MoveNext"/> stopped there. False where the length cannot be believed.
    /// </summary>
    public bool TrySkip()
    {
        if (Verdict is not (BatchVerdict.BadChecksum or BatchVerdict.BadCounts))
        {
            return false;
        }

        _next = Position + Header.TotalByteCount;
        return true;
    }

    /// <summary>Whether the checksum of the batch at <see cref="Position"/> agrees; read in pieces, whatever its length. <see cref="Batch"/> is not valid any more.</summary>
    public bool IsChecksumRight()
    {
        long end = Position + Header.TotalByteCount;
        uint checksum = Crc32C.Compute([]);

        // The buffer is used for the pieces.
        _bufferedByteCount = 0;
        for (long position = Position + RecordBatchHeader.ChecksummedPosition; position < end;)
        {
            Span<byte> piece = _buffer.AsSpan(0, (int)Math.Min(_buffer.Length, end - position));
            if (_file.Read(piece, position) < piece.Length)
            {
                return false;
            }

            checksum = Crc32C.Append(checksum, piece);
            position += piece.Length;
        }

        return checksum == Header.Checksum;
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    /// <summary>What can be said without the records. The length is judged before anything of that length is read.</summary>
    private BatchVerdict JudgeHeader()
    {
        RecordBatchHeader header = Header;
        if (header.BatchLength is < RecordBatchHeader.MinimumBatchLength or > int.MaxValue - RecordBatchHeader.LengthPrefixByteCount)
        {
            return BatchVerdict.BadLength;
        }

        if (header.Magic != RecordBatchHeader.CurrentMagic)
        {
            return BatchVerdict.UnsupportedMagic;
        }

        if (header.TotalByteCount > _end - Position)
        {
            return BatchVerdict.Incomplete;
        }

        bool countsAgree = header.LastOffsetDelta >= 0 && header.RecordCount >= 0 && header.RecordCount <= header.LastOffsetDelta + 1L;
        return countsAgree ? BatchVerdict.Valid : BatchVerdict.BadCounts;
    }

    /// <summary>Up to <paramref name="byteCount"/> bytes at the current position, fewer only where the file ends.</summary>
    private ReadOnlyMemory<byte> Buffer(int byteCount)
    {
        byteCount = (int)Math.Min(byteCount, _end - Position);
        bool isBuffered = Position >= _bufferPosition && Position + byteCount <= _bufferPosition + _bufferedByteCount;
        if (!isBuffered)
        {
            if (_buffer.Length < byteCount)
            {
                ArrayPool<byte>.Shared.Return(_buffer);
                _buffer = ArrayPool<byte>.Shared.Rent(byteCount);
            }

            _bufferPosition = Position;
            int wanted = (int)Math.Min(_buffer.Length, _end - Position);
            _bufferedByteCount = _file.Read(_buffer.AsSpan(0, wanted), Position);
        }

        int start = (int)(Position - _bufferPosition);
        return _buffer.AsMemory(start, Math.Min(byteCount, _bufferedByteCount - start));
    }
}
