using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Broker;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Protocol.Tests;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Fuzz.Tests;

/// <summary>
/// Requests over real sockets that are mutated, cut short, larger than they may be, slow, or whole and in any order, while a client that
/// behaves is served and loses nothing.
/// </summary>
public sealed class LiveBrokerFuzzTests
{
    private const string Topic = "good";
    private const int RequestsPerConnection = 20;
    private const int DefaultRequestCount = 4_000;
    private const int SlowConnectionCount = 40;
    private const long MostHeldByteCount = 256L * 1024 * 1024;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task No_request_disturbs_a_client_that_behaves()
    {
        int seed = Number("MILLRACE_FUZZ_SEED", 1);
        int requestCount = Number("MILLRACE_FUZZ_REQUESTS", DefaultRequestCount);
        string replay = $"Replay: MILLRACE_FUZZ_SEED={seed} dotnet run --project tests/Millrace.Fuzz.Tests -- --filter-class \"*LiveBrokerFuzzTests\"";
        string directory = Directory.CreateTempSubdirectory("millrace-fuzz-").FullName;
        var options = new BrokerOptions
        {
            DataDirectory = directory,
            Listen = new IPEndPoint(IPAddress.Loopback, 0),

            // Mutated requests create topics and ask for partitions; what they may take is bounded, as it is for anybody.
            MaxPartitionCount = 100,
            OffsetsTopicPartitionCount = 2,
        };
        List<string> acknowledged = [];
        await using (KafkaBroker broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance))
        {
            using Socket good = await ConnectAsync(broker);
            await SendAsync<MetadataRequest, MetadataResponse>(good, new MetadataRequest { Topics = [new MetadataRequestTopic { Name = Topic }] }, 9);
            long before = GC.GetTotalMemory(forceFullCollection: true);
            var random = new Random(seed);
            List<byte[]> corpus = Corpus(random);
            using SlowConnections slow = await SlowConnections.OpenAsync(() => ConnectAsync(broker), SlowConnectionCount, corpus, random);
            for (int sent = 0; sent < requestCount; sent += RequestsPerConnection)
            {
                await ThrowAsync(broker, corpus, random);
                await slow.DripAsync(random);
                string value = $"after {sent}";
                ProduceResponse produced = await SendAsync<ProduceRequest, ProduceResponse>(good, Produce(value), 9);
                Assert.True(produced.Topics[0].Partitions[0].ErrorCode == ErrorCode.None, replay);
                acknowledged.Add(value);
            }

            Assert.Equal(acknowledged, await ReadAllAsync(good));
            Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < MostHeldByteCount, replay);
        }

        // And what it wrote is whole on the disk: the next start finds it.
        await using (KafkaBroker again = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, NullLoggerFactory.Instance))
        {
            using Socket reader = await ConnectAsync(again);
            Assert.Equal(acknowledged, await ReadAllAsync(reader));
        }

        Directory.Delete(directory, recursive: true);
    }

    /// <summary>Sends some frames over one connection, hardly reading, and leaves, often in the middle of one.</summary>
    private static async Task ThrowAsync(KafkaBroker broker, List<byte[]> corpus, Random random)
    {
        using Socket socket = await ConnectAsync(broker);

        // Whole requests in an order that no client has: answers before questions, ends of what never began.
        bool isWhole = random.Next(4) == 0;
        try
        {
            for (int request = 0; request < RequestsPerConnection; request++)
            {
                byte[] bytes = isWhole ? corpus[random.Next(corpus.Count)] : Damaged(corpus, random);
                await socket.SendAsync(bytes).WaitAsync(Patience);
                if (random.Next(4) == 0 && socket.Poll(0, SelectMode.SelectRead))
                {
                    await socket.ReceiveAsync(new byte[64 * 1024]).WaitAsync(Patience);
                }
            }
        }
        catch (SocketException)
        {
            // Shown the door, as it should be.
        }
    }

    private static byte[] Damaged(List<byte[]> corpus, Random random)
    {
        byte[] bytes = Mutator.Mutate(corpus, random);
        if (bytes.Length > 4)
        {
            // Mostly with a size that is right, so that the request behind it is looked at; sometimes with one that nobody may send.
            int size = random.Next(8) switch
            {
                0 => BinaryPrimitives.ReadInt32BigEndian(bytes),
                1 => random.Next(4) == 0 ? int.MaxValue - random.Next(1 << 20) : bytes.Length - 4,
                _ => bytes.Length - 4,
            };
            BinaryPrimitives.WriteInt32BigEndian(bytes, size);
        }

        return bytes;
    }

    /// <summary>Frames of every request in every version, with random content, none of which names the good client's topic.</summary>
    private static List<byte[]> Corpus(Random random)
    {
        List<byte[]> corpus = [];
        foreach (ApiDefinition api in KafkaApis.All)
        {
            KnownMessage known = KnownMessages.Named($"{api.Key}Request");
            foreach (short version in known.Versions)
            {
                byte[] body = known.Write(RandomMessage.Fill(known.Create(), random), version);
                byte[] header = [0, 0, 0, 0, (byte)((short)api.Key >> 8), (byte)api.Key, 0, (byte)version, 0, 0, 0, 1, 0, 1, (byte)'f'];
                byte[] frame = api.RequestHeaderVersion(version) >= 2 ? [.. header, 0, .. body] : [.. header, .. body];
                BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length - 4);
                corpus.Add(frame);
            }
        }

        return corpus;
    }

    private static async Task<List<string>> ReadAllAsync(Socket socket)
    {
        List<string> values = [];
        long offset = 0;
        while (true)
        {
            var request = new FetchRequest
            {
                SessionEpoch = -1,
                Topics = [new FetchTopic { Name = Topic, Partitions = [new FetchPartition { FetchOffset = offset, MaxBytes = 1 << 20 }] }],
            };
            FetchResponse response = await SendAsync<FetchRequest, FetchResponse>(socket, request, 12);
            FetchPartitionResponse partition = response.Topics[0].Partitions[0];
            Assert.Equal(ErrorCode.None, partition.ErrorCode);
            ReadOnlyMemory<byte> rest = partition.Records!.Value;
            if (rest.IsEmpty)
            {
                return values;
            }

            while (!rest.IsEmpty)
            {
                values.AddRange(RecordBatchReader.Read(rest).Select(record => Encoding.UTF8.GetString(record.Value!.Value.Span)));
                RecordBatchHeader header = RecordBatchHeader.Read(rest.Span);
                offset = header.NextOffset.Value;
                rest = rest[header.TotalByteCount..];
            }
        }
    }

    private static ProduceRequest Produce(string value)
    {
        var builder = new RecordBatchBuilder();
        builder.Append(1, null, (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(value));
        return new ProduceRequest
        {
            Acks = -1,
            TimeoutMilliseconds = 30_000,
            Topics = [new ProduceTopic { Name = Topic, Partitions = [new ProducePartition { Records = builder.Build() }] }],
        };
    }

    private static async Task<Socket> ConnectAsync(KafkaBroker broker)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(broker.ListenEndPoint!).WaitAsync(Patience);
        return socket;
    }

    private static async Task<TResponse> SendAsync<TRequest, TResponse>(Socket socket, TRequest request, short version)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        await socket.SendAsync(MessageCodec.WriteRequest(request, version, 1, "good").Bytes.ToArray()).WaitAsync(Patience);
        byte[] prefix = await ReceiveAsync(socket, 4);
        byte[] payload = await ReceiveAsync(socket, BinaryPrimitives.ReadInt32BigEndian(prefix));
        Assert.True(MessageCodec.TryReadResponse(payload, TRequest.Api, version, out _, out TResponse? response, out string? error), error);
        return response;
    }

    private static async Task<byte[]> ReceiveAsync(Socket socket, int byteCount)
    {
        byte[] bytes = new byte[byteCount];
        for (int filled = 0; filled < byteCount;)
        {
            int count = await socket.ReceiveAsync(bytes.AsMemory(filled)).AsTask().WaitAsync(Patience);
            Assert.True(count > 0, "The broker closed the connection of the client that behaves.");
            filled += count;
        }

        return bytes;
    }

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), out int number) ? number : otherwise;
}
