using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;

namespace Millrace.LoadTest.Running;

/// <summary>
/// A producer with several requests on the way, as Kafka's have (max.in.flight.requests.per.connection). Whoever drives many of them on one thread asks it for answers when there are some, and has it
/// send as many requests again.
/// </summary>
internal sealed class PipelinedProducer : IDisposable
{
    private const int SizePrefixByteCount = 4;

    private readonly byte[][] _requests;
    private readonly byte[] _sent;
    private readonly byte[] _received = new byte[64 * 1024];
    private int _nextRequest;
    private int _receivedByteCount;
    private int _answerByteCount;

    /// <summary>Connects, and sends nothing yet.</summary>
    /// <param name="requests">Frames of one size, which are sent in turn.</param>
    public PipelinedProducer(IPEndPoint endPoint, byte[][] requests, int maxInFlight)
    {
        _requests = requests;
        _sent = new byte[maxInFlight * requests.Max(static request => request.Length)];
        Socket.Connect(endPoint);
    }

    public Socket Socket { get; } = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    /// <summary>Requests without an answer.</summary>
    public int InFlightCount { get; private set; }

    /// <summary>Sends the next requests with one call.</summary>
    public void Send(int count)
    {
        int byteCount = 0;
        for (int number = 0; number < count; number++)
        {
            byte[] request = _requests[_nextRequest];
            _nextRequest = (_nextRequest + 1) % _requests.Length;
            request.CopyTo(_sent, byteCount);
            byteCount += request.Length;
        }

        for (int position = 0; position < byteCount;)
        {
            position += Socket.Send(_sent.AsSpan(position, byteCount - position));
        }

        InFlightCount += count;
    }

    /// <summary>Takes what has arrived, waiting for it if nothing has; returns how many answers are complete by it.</summary>
    public int Receive()
    {
        int count = Socket.Receive(_received.AsSpan(_receivedByteCount));
        _receivedByteCount += count > 0 ? count : throw new IOException("The broker has closed the connection.");
        int answerCount = 0;
        int position = 0;
        while (_receivedByteCount - position >= SizePrefixByteCount)
        {
            int byteCount = SizePrefixByteCount + BinaryPrimitives.ReadInt32BigEndian(_received.AsSpan(position));
            if (_receivedByteCount - position < byteCount)
            {
                break;
            }

            Check(_received.AsMemory(position + SizePrefixByteCount, byteCount - SizePrefixByteCount));
            position += byteCount;
            answerCount++;
        }

        _received.AsSpan(position, _receivedByteCount - position).CopyTo(_received);
        _receivedByteCount -= position;
        InFlightCount -= answerCount;
        return answerCount;
    }

    public void Dispose() => Socket.Dispose();

    /// <summary>Reads the first answer; the others have its size, since one with an error says what was wrong.</summary>
    private void Check(ReadOnlyMemory<byte> answer)
    {
        if (answer.Length == _answerByteCount)
        {
            return;
        }

        if (!MessageCodec.TryReadResponse(answer, ProduceRequest.Api, Workload.ProduceVersion, out _, out ProduceResponse? response, out string? error))
        {
            throw new InvalidDataException(error);
        }

        Workload.Check(response.Topics[0].Partitions[0].ErrorCode);
        _answerByteCount = answer.Length;
    }
}
