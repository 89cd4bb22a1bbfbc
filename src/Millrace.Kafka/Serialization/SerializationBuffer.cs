using System.Buffers;

namespace Millrace.Kafka;

/// <summary>Where a key and then a value are written to, before the producer copies them into a batch.</summary>
internal sealed class SerializationBuffer : IBufferWriter<byte>
{
    private const int FirstByteCount = 512;

    private byte[] _bytes = new byte[FirstByteCount];
    private int _byteCount;
    private int _keyByteCount;

    public int Capacity => _bytes.Length;

    public ReadOnlySpan<byte> Key => _bytes.AsSpan(0, _keyByteCount);

    public ReadOnlySpan<byte> Value => _bytes.AsSpan(_keyByteCount, _byteCount - _keyByteCount);

    /// <summary>What was written up to here is the key; what follows is the value.</summary>
    public void EndKey() => _keyByteCount = _byteCount;

    public void Clear()
    {
        _byteCount = 0;
        _keyByteCount = 0;
    }

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _bytes.Length - _byteCount);
        _byteCount += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsMemory(_byteCount);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsSpan(_byteCount);
    }

    private void Reserve(int sizeHint)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        int wanted = checked(_byteCount + Math.Max(sizeHint, 1));
        if (wanted > _bytes.Length)
        {
            Array.Resize(ref _bytes, (int)Math.Min(Math.Max(2L * _bytes.Length, wanted), Array.MaxLength));
        }
    }
}

/// <summary>Buffers of one producer that are not in use.</summary>
internal sealed class SerializationBufferPool
{
    private const int MaxCount = 64;

    /// <summary>Larger ones go to the garbage collector.</summary>
    private const int MaxKeptByteCount = 256 * 1024;

    private readonly Lock _gate = new();
    private readonly Stack<SerializationBuffer> _free = [];

    public SerializationBuffer Rent()
    {
        lock (_gate)
        {
            return _free.TryPop(out SerializationBuffer? buffer) ? buffer : new SerializationBuffer();
        }
    }

    public void Return(SerializationBuffer buffer)
    {
        if (buffer.Capacity > MaxKeptByteCount)
        {
            return;
        }

        buffer.Clear();
        lock (_gate)
        {
            if (_free.Count < MaxCount)
            {
                _free.Push(buffer);
            }
        }
    }
}
