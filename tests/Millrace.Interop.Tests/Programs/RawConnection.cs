using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Interop.Tests.Programs;

/// <summary>One connection that sends a request and reads its response as bytes, with no client in between.</summary>
internal sealed class RawConnection : IDisposable
{
    private readonly TcpClient _client = new();

    public void Dispose() => _client.Dispose();

    /// <summary>The record batches of a partition from an offset, as they came over the wire.</summary>
    public static async Task<byte[]> FetchAsync(IPEndPoint broker, TopicPartition partition, long offset)
    {
        using RawConnection connection = new();
        await connection._client.ConnectAsync(broker);
        FetchRequest request = new()
        {
            MaxWaitMilliseconds = 1_000,
            MinBytes = 1,
            MaxBytes = 50_000_000,
            Topics =
            [
                new FetchTopic
                {
                    Name = partition.Topic,
                    Partitions = [new FetchPartition { Index = partition.Partition, FetchOffset = offset, MaxBytes = 50_000_000 }],
                },
            ],
        };
        const short Version = 11;
        byte[] payload = await connection.ExchangeAsync(MessageCodec.WriteRequest(request, Version, correlationId: 1, clientId: "raw"));
        Assert.True(MessageCodec.TryReadResponse(payload, FetchRequest.Api, Version, out _, out FetchResponse? response, out string? error), error);
        FetchPartitionResponse answer = Assert.Single(Assert.Single(response.Topics).Partitions);
        Assert.Equal(ErrorCode.None, answer.ErrorCode);
        return answer.Records.GetValueOrDefault().ToArray();
    }

    private async Task<byte[]> ExchangeAsync(FrameBuffer request)
    {
        NetworkStream stream = _client.GetStream();
        await stream.WriteAsync(request.Bytes);
        request.Release();
        byte[] size = new byte[FrameBuffer.SizePrefixByteCount];
        await stream.ReadExactlyAsync(size);
        byte[] payload = new byte[BinaryPrimitives.ReadInt32BigEndian(size)];
        await stream.ReadExactlyAsync(payload);
        return payload;
    }
}
