using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace Millrace.Kafka.Records;

/// <summary>
/// Where a codec writes: a pooled array that doubles as output arrives and never holds more than its bound.
/// It owns the array until it is disposed.
/// </summary>
internal sealed class CodecBuffer(int maximumByteCount, int initialByteCount = CodecBuffer.SmallestByteCount) : IDisposable
{
    private const int SmallestByteCount = 4096;

    private byte[] _array = ArrayPool<byte>.Shared.Rent(Math.Max(SmallestByteCount, initialByteCount));

    public int MaximumByteCount => maximumByteCount;

    public int Count { get; private set; }

    /// <summary>Bytes that may still be written.</summary>
    public int Remaining => maximumByteCount - Count;

    public ReadOnlySpan<byte> Written => _array.AsSpan(0, Count);

    /// <summary>Exactly <paramref name="byteCount"/> bytes after what is written. They count once <see cref="Advance"/> is called.</summary>
    /// <exception cref="InvalidRecordBatchException">They would exceed the bound.</exception>
    public Span<byte> Reserve(int byteCount)
    {
        if (byteCount > Remaining)
        {
            ThrowTooLarge();
        }

        if (byteCount > _array.Length - Count)
        {
            Grow(byteCount);
        }

        return _array.AsSpan(Count, byteCount);
    }

    /// <summary>What is written, followed by exactly <paramref name="byteCount"/> bytes: for codecs that copy from their own output.</summary>
    public Span<byte> ReserveWithHistory(int byteCount)
    {
        _ = Reserve(byteCount);
        return _array.AsSpan(0, Count + byteCount);
    }

    public void Advance(int byteCount) => Count += byteCount;

    public void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Reserve(bytes.Length));
        Advance(bytes.Length);
    }

    public byte[] ToArray() => Written.ToArray();

    /// <summary>Gives the pooled array away: its first <see cref="Count"/> bytes are what was written, and the caller returns it to the pool.</summary>
    public byte[] Detach()
    {
        byte[] array = _array;
        _array = [];
        return array;
    }

    public void Dispose()
    {
        if (_array.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_array);
        }

        _array = [];
        Count = 0;
    }

    [DoesNotReturn]
    public void ThrowTooLarge() =>
        throw new InvalidRecordBatchException($"The records decompress to more than {maximumByteCount} bytes, the most that is accepted.") { IsTooLarge = true };

    private void Grow(int byteCount)
    {
        int needed = Count + byteCount;
        long doubled = Math.Min(_array.Length * 2L, maximumByteCount);
        byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Max(needed, doubled));
        Written.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_array);
        _array = larger;
    }
}
