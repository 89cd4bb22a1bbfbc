using System.Buffers;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The broker's end of a plain TCP connection: records go from the file to the socket inside of the kernel.</summary>
internal sealed class SocketTransport : TcpTransport
{
    /// <summary>Copied at a time where the kernel cannot go on by itself.</summary>
    private const int CopyByteCount = 64 * 1024;

    /// <summary>Small responses that are ready together leave with one call up to this size.</summary>
    private const int HeldByteCount = 4096;

    // Responses that are sent with the next one; nothing until the first is held.
    private byte[] _held = [];
    private int _heldByteCount;

    public SocketTransport(Socket socket, ConnectionIdentity identity, int maxPayloadByteCount, TimeProvider time)
        : base(socket, identity, maxPayloadByteCount, time)
    {
        // The runtime does so at the first asynchronous call; sendfile has to find it so.
        socket.Blocking = false;
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
        BeginSending();
        try
        {
            await SendHeldAsync();
            return true;
        }
        catch (Exception gone) when (IsGone(gone))
        {
            return false;
        }
        finally
        {
            EndSending();
        }
    }

    private async ValueTask<bool> SendNowAsync(ResponseFrame response)
    {
        BeginSending();
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
        catch (Exception gone) when (IsGone(gone))
        {
            return false;
        }
        finally
        {
            EndSending();
            response.Release();
        }
    }

    protected override ValueTask<int> ReadAsync(Memory<byte> target, CancellationToken cancellationToken) =>
        Socket.ReceiveAsync(target, SocketFlags.None, cancellationToken);

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
            int byteCount = await Socket.SendAsync(bytes, SocketFlags.None, CancellationToken.None);
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
            SendFileResult result = SendFile.Send(Socket, file.Handle, file.Position + sent, file.ByteCount - sent);
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
}
