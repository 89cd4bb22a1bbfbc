using System.Buffers;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The broker's end of a TCP connection.</summary>
internal sealed class SocketTransport : FrameTransport
{
    /// <summary>Copied at a time where the kernel cannot go on by itself.</summary>
    private const int CopyByteCount = 64 * 1024;

    /// <summary>Small responses that are ready together leave with one call up to this size.</summary>
    private const int HeldByteCount = 4096;

    private readonly Socket _socket;
    private readonly TimeProvider _time;
    private readonly FrameAssembler _assembler;
    private long _lastActivity;
    private volatile bool _isSending;

    // Responses that are sent with the next one; nothing until the first is held.
    private byte[] _held = [];
    private int _heldByteCount;

    public SocketTransport(Socket socket, ConnectionIdentity identity, int maxPayloadByteCount, TimeProvider time)
        : base(identity)
    {
        _socket = socket;

        // The runtime does so at the first asynchronous call; sendfile has to find it so.
        _socket.Blocking = false;
        _time = time;
        _assembler = new FrameAssembler(maxPayloadByteCount);
        _lastActivity = time.GetTimestamp();
    }

    /// <summary>Since when no byte has come or gone.</summary>
    public override TimeSpan IdleTime => _time.GetElapsedTime(Volatile.Read(ref _lastActivity));

    /// <summary>Whether a response is stuck in a client that does not read.</summary>
    public override bool IsSending => _isSending;

    public override bool HasMore
    {
        get
        {
            try
            {
                return _assembler.IsMidFrame || _socket.Available > 0;
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                return false;
            }
        }
    }

    public override void LimitFrames(int maxPayloadByteCount) => _assembler.MaxPayloadByteCount = maxPayloadByteCount;

    public override async ValueTask<ReceivedFrame> ReceiveAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_assembler.TryTake() is { } frame)
            {
                return new ReceivedFrame(frame, null);
            }

            if (_assembler.Fault is { } fault)
            {
                return new ReceivedFrame(null, fault);
            }

            int byteCount;
            try
            {
                byteCount = await _socket.ReceiveAsync(_assembler.ReceiveMemory(), SocketFlags.None, cancellationToken);
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                return ReceivedFrame.End;
            }

            if (byteCount == 0)
            {
                return _assembler.IsMidFrame ? new ReceivedFrame(null, "it ended within a request") : ReceivedFrame.End;
            }

            _assembler.Received(byteCount);
            Touch();
        }
    }

    public override ValueTask<bool> SendAsync(ResponseFrame response, bool isMoreToFollow = false)
    {
        if (isMoreToFollow || _heldByteCount > 0)
        {
            bool isHeld = TryHold(response);
            if (isHeld)
            {
                return isMoreToFollow ? new ValueTask<bool>(true) : FlushAsync();
            }
        }

        return SendNowAsync(response);
    }

    public override async ValueTask<bool> FlushAsync()
    {
        _isSending = true;
        try
        {
            await SendHeldAsync();
            return true;
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            _isSending = false;
        }
    }

    private async ValueTask<bool> SendNowAsync(ResponseFrame response)
    {
        _isSending = true;
        try
        {
            await SendHeldAsync();
            int sent = 0;
            foreach (DetachedPart part in response.Detached)
            {
                await SendBytesAsync(response.Buffer.Bytes[sent..part.Position]);
                sent = part.Position;
                if (!await SendPiecesAsync((RecordPieces)part.Records))
                {
                    return false;
                }
            }

            await SendBytesAsync(response.Buffer.Bytes[sent..]);
            return true;
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            _isSending = false;
            response.Release();
        }
    }

    public override void Abort()
    {
        try
        {
            // Linger zero: what is in the socket's buffers is dropped, as it is when a process dies.
            _socket.LingerState = new LingerOption(enable: true, seconds: 0);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return;
        }

        _socket.Dispose();
    }

    /// <summary>Only after the receive loop has ended: it gives back the memory of a frame in progress.</summary>
    public override void Dispose()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client closed first.
        }

        _socket.Dispose();
        _assembler.Dispose();
    }

    /// <summary>Takes a copy of a small response without records, and releases it.</summary>
    private bool TryHold(ResponseFrame response)
    {
        ReadOnlySpan<byte> bytes = response.Buffer.Bytes.Span;
        if (response.Detached.Count > 0 || bytes.Length > HeldByteCount - _heldByteCount)
        {
            return false;
        }

        _held = _held.Length > 0 ? _held : new byte[HeldByteCount];
        bytes.CopyTo(_held.AsSpan(_heldByteCount));
        _heldByteCount += bytes.Length;
        response.Release();
        return true;
    }

    private async ValueTask SendHeldAsync()
    {
        int byteCount = _heldByteCount;
        _heldByteCount = 0;
        await SendBytesAsync(_held.AsMemory(0, byteCount));
    }

    private async ValueTask SendBytesAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int byteCount = await _socket.SendAsync(bytes, SocketFlags.None, CancellationToken.None);
            bytes = bytes[byteCount..];
            Touch();
        }
    }

    private async ValueTask<bool> SendPiecesAsync(RecordPieces records)
    {
        foreach (RecordPiece piece in records.Pieces)
        {
            if (piece.File is { } file)
            {
                if (!await SendFileAsync(file))
                {
                    return false;
                }
            }
            else
            {
                await SendBytesAsync(piece.Bytes);
            }
        }

        return true;
    }

    /// <summary>
    /// From the file to the socket inside of the kernel, for as long as the socket takes it. When it is full, the next bytes are copied: that send waits
    /// for room without a thread, and then the kernel goes on.
    /// </summary>
    private async ValueTask<bool> SendFileAsync(LogPiece file)
    {
        int sent = 0;
        while (sent < file.ByteCount)
        {
            SendFileResult result = SendFile.Send(_socket, file.Handle, file.Position + sent, file.ByteCount - sent);
            sent += result.ByteCount;
            if (result.ByteCount > 0)
            {
                Touch();
            }

            if (sent == file.ByteCount || result.HasEnded)
            {
                break;
            }

            int copied = await CopyAsync(file, sent);
            if (copied == 0)
            {
                break;
            }

            sent += copied;
        }

        // The client was promised these bytes: with fewer, all that follows on this connection would be misread.
        return sent == file.ByteCount;
    }

    private async ValueTask<int> CopyAsync(LogPiece file, int from)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(CopyByteCount);
        try
        {
            int byteCount = file.Read(from, buffer.AsSpan(0, CopyByteCount));
            await SendBytesAsync(buffer.AsMemory(0, byteCount));
            return byteCount;
        }
        catch (IOException)
        {
            // The log learns of it from a read that is checked; here the connection ends.
            return 0;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Touch() => Volatile.Write(ref _lastActivity, _time.GetTimestamp());
}
