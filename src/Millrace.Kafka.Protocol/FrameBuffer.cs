using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace Millrace.Kafka.Protocol;

/// <summary>
/// One whole wire frame, its size prefix of four bytes included, in pooled memory.
/// </summary>
/// <remarks>
/// It is counted by references. There is one named owner at a time: whoever receives a frame owns one reference and either hands it on or calls
/// <see cref="Release"/>. <see cref="Retain"/> makes one more owner. The memory goes back to the pool with the last release, and slices
/// of it are not to be touched from then on. A frame that is never released costs the pool an array and nothing else.
/// </remarks>
public sealed class FrameBuffer
{
    public const int SizePrefixByteCount = 4;

    private byte[]? _array;
    private int _byteCount;
    private int _referenceCount = 1;

    private FrameBuffer(byte[] array, int byteCount)
    {
        _array = array;
        _byteCount = byteCount;
    }

    /// <summary>Exactly the frame, size prefix first.</summary>
    public Memory<byte> Bytes => new(Array, 0, _byteCount);

    /// <summary>What follows the size prefix.</summary>
    public ReadOnlyMemory<byte> Payload => new(Array, SizePrefixByteCount, _byteCount - SizePrefixByteCount);

    private byte[] Array => _array ?? ThrowReleased();

    /// <summary>A frame of <paramref name="byteCount"/> bytes, prefix included. The prefix is written; the rest holds whatever the memory held.</summary>
    public static FrameBuffer Rent(int byteCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(byteCount, SizePrefixByteCount);
        return Rent(byteCount, detachedByteCount: 0);
    }

    /// <summary>As <see cref="Rent(int)"/>, of a frame whose prefix also counts bytes that are sent with it and are not in it.</summary>
    internal static FrameBuffer Rent(int byteCount, int detachedByteCount)
    {
        var frame = new FrameBuffer(ArrayPool<byte>.Shared.Rent(byteCount), byteCount);
        BinaryPrimitives.WriteInt32BigEndian(frame.Array, checked(byteCount - SizePrefixByteCount + detachedByteCount));
        return frame;
    }

    /// <summary>
    /// Changes the size and keeps the bytes that both sizes have, so that a receiver can let a frame grow with what has arrived instead of
    /// believing its prefix. Only for an owner who has not shared the frame.
    /// </summary>
    /// <exception cref="InvalidOperationException">The frame has another owner.</exception>
    public void Resize(int byteCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(byteCount, SizePrefixByteCount);
        if (Volatile.Read(ref _referenceCount) != 1) throw new InvalidOperationException("A frame with more than one owner cannot change its size.");
        if (byteCount > Array.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(byteCount);
            Array.AsSpan(0, _byteCount).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(Array);
            _array = larger;
        }

        _byteCount = byteCount;
        WriteSizePrefix();
    }

    /// <summary>Makes one more owner.</summary>
    /// <exception cref="ObjectDisposedException">The last owner has released the frame.</exception>
    public void Retain()
    {
        int count = Volatile.Read(ref _referenceCount);
        while (true)
        {
            if (count <= 0) ThrowReleased();
            int seen = Interlocked.CompareExchange(ref _referenceCount, count + 1, count);
            if (seen == count) return;
            count = seen;
        }
    }

    /// <summary>Gives up one reference; the last one returns the memory to the pool.</summary>
    /// <exception cref="ObjectDisposedException">The last owner has released the frame.</exception>
    public void Release()
    {
        int remaining = Interlocked.Decrement(ref _referenceCount);
        if (remaining < 0) ThrowReleased();
        if (remaining > 0) return;
        byte[]? array = _array;
        _array = null;
        ArrayPool<byte>.Shared.Return(array!);
    }

    private void WriteSizePrefix() => BinaryPrimitives.WriteInt32BigEndian(Array, _byteCount - SizePrefixByteCount);

    [DoesNotReturn]
    private static byte[] ThrowReleased() => throw new ObjectDisposedException(nameof(FrameBuffer), "The frame was released by its last owner.");
}

/// <summary>A response whose fields are slices of the frame that it was read from.</summary>
public interface IFrameOwner
{
    /// <summary>The frame, one reference of which belongs to whoever has the response; null where the response was not read from one, or that was not asked for.</summary>
    FrameBuffer? Frame { get; set; }
}
