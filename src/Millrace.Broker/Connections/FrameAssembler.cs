using System.Buffers.Binary;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// Cuts the bytes that arrive on a socket into frames: a size (four bytes, big-endian, not counting itself) and that many bytes.
/// Synchronous: ask which memory it wants, give it that, ask where to put bytes, report how many came, take what is whole.
/// </summary>
/// <remarks>
/// The size is only a claim. A frame's buffer starts small and doubles as bytes really arrive, so a sender that claims 100 MiB and sends ten bytes
/// costs <see cref="InitialFrameByteCount"/>; or, where it has sent a large frame before, as much as that one had, up to
/// <see cref="MaxTrustedByteCount"/>, so that who sends large frames does not have each of them copied as it grows. Small frames are copied out of one shared buffer, so that many of them cost one receive;
/// once a frame is larger than what has arrived of it, the rest is received straight into it.
/// </remarks>
internal sealed class FrameAssembler : IDisposable
{
    /// <summary>What a connection that does nothing holds.</summary>
    internal const int ReceiveBufferByteCount = 16 * 1024;

    /// <summary>The first piece of memory for a frame that did not arrive at once.</summary>
    internal const int InitialFrameByteCount = 64 * 1024;

    /// <summary>The most that is given to a frame on its claim, to a sender that has sent as much before. Batches of clients are mostly smaller.</summary>
    internal const int MaxTrustedByteCount = 1024 * 1024;

    private const int SizePrefixByteCount = sizeof(int);

    private readonly byte[] _receiveBuffer = new byte[ReceiveBufferByteCount];
    private int _receiveStart;
    private int _receiveEnd;

    // The frame in progress: its size with the prefix, its memory so far, and how much of that is filled.
    private FrameBuffer? _frame;
    private int _frameByteCount;
    private int _filledByteCount;
    private int _trustedByteCount = InitialFrameByteCount;

    public FrameAssembler(int maxPayloadByteCount) => MaxPayloadByteCount = maxPayloadByteCount;

    /// <summary>The largest frame that is taken; for those that begin from now on.</summary>
    public int MaxPayloadByteCount { get; set; }

    /// <summary>Why no further frame can be read, or null.</summary>
    public string? Fault { get; private set; }

    /// <summary>Whether a frame has begun to arrive and is not whole.</summary>
    public bool IsMidFrame => _frame is not null || _receiveEnd > _receiveStart;

    /// <summary>Memory held for the frame in progress.</summary>
    internal int HeldByteCount => _frame?.Bytes.Length ?? 0;

    /// <summary>
    /// The memory that the frame in progress wants before anything more of it can be taken; 0: none. Ask after each <see cref="Received"/> and each frame that was
    /// taken, and call <see cref="Extend"/> when it may have it.
    /// </summary>
    public int WantedByteCount()
    {
        if (_frame is not null)
        {
            return _filledByteCount == _frame.Bytes.Length ? NextByteCount(_frame) - _filledByteCount : 0;
        }

        return Fault is null && TryMeasure() ? FirstByteCount : 0;
    }

    /// <summary>Takes the memory that is wanted.</summary>
    public void Extend()
    {
        if (_frame is not null)
        {
            // Resize keeps what is there.
            _frame.Resize(NextByteCount(_frame));
            return;
        }

        int here = Math.Min(_receiveEnd - _receiveStart, _frameByteCount);
        _frame = FrameBuffer.Rent(FirstByteCount);
        _receiveBuffer.AsSpan(_receiveStart, here).CopyTo(_frame.Bytes.Span);
        _filledByteCount = here;
        _receiveStart += here;
    }

    /// <summary>Where the next received bytes belong; never empty, unless memory is wanted. Ask again after each <see cref="Received"/>.</summary>
    public Memory<byte> ReceiveMemory()
    {
        if (_frame is not null)
        {
            return _frame.Bytes[_filledByteCount..];
        }

        if (_receiveStart == _receiveEnd)
        {
            _receiveStart = _receiveEnd = 0;
        }
        else if (_receiveStart > 0)
        {
            // Fewer than a size prefix's bytes are left here: a frame has taken the rest.
            _receiveBuffer.AsSpan(_receiveStart, _receiveEnd - _receiveStart).CopyTo(_receiveBuffer);
            _receiveEnd -= _receiveStart;
            _receiveStart = 0;
        }

        return _receiveBuffer.AsMemory(_receiveEnd);
    }

    /// <summary>Reports that <paramref name="byteCount"/> bytes were put into <see cref="ReceiveMemory"/>.</summary>
    public void Received(int byteCount)
    {
        if (_frame is not null)
        {
            _filledByteCount += byteCount;
        }
        else
        {
            _receiveEnd += byteCount;
        }
    }

    /// <summary>A whole frame, which the caller owns; or null: receive more, unless there is a <see cref="Fault"/>.</summary>
    public FrameBuffer? TryTake()
    {
        if (_frame is not { } whole || _filledByteCount < _frameByteCount)
        {
            return null;
        }

        _trustedByteCount = Math.Clamp(_frameByteCount, _trustedByteCount, MaxTrustedByteCount);
        _frame = null;
        return whole;
    }

    public void Dispose()
    {
        _frame?.Release();
        _frame = null;
    }

    /// <summary>As much as has arrived, or as its sender is trusted with.</summary>
    private int FirstByteCount => Math.Min(_frameByteCount, Math.Max(_receiveEnd - _receiveStart, _trustedByteCount));

    /// <summary>The last step ends exactly at the frame's size; a whole frame wants nothing.</summary>
    private int NextByteCount(FrameBuffer frame) => (int)Math.Min(_frameByteCount, frame.Bytes.Length * 2L);

    /// <summary>Reads the size of the next frame, if it has arrived.</summary>
    private bool TryMeasure()
    {
        ReadOnlySpan<byte> arrived = _receiveBuffer.AsSpan(_receiveStart, _receiveEnd - _receiveStart);
        if (arrived.Length < SizePrefixByteCount)
        {
            return false;
        }

        int payloadByteCount = BinaryPrimitives.ReadInt32BigEndian(arrived);
        if (payloadByteCount <= 0 || payloadByteCount > MaxPayloadByteCount)
        {
            Fault = $"it claims a request of {payloadByteCount} bytes, and at most {MaxPayloadByteCount} are taken (socket.request.max.bytes; less before a client has logged in)";
            return false;
        }

        _frameByteCount = SizePrefixByteCount + payloadByteCount;
        return true;
    }
}
