using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class TcpKafkaTransportTests : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly List<IKafkaTransport> _transports = [];

    /// <summary>A peer that nothing holds is closed by its finalizer, in the middle of the test.</summary>
    private readonly List<Socket> _peers = [];

    public TcpKafkaTransportTests() => _listener.Start();

    private BrokerAddress Address => new("127.0.0.1", ((IPEndPoint)_listener.LocalEndpoint).Port);

    [Fact]
    public async Task A_frame_that_arrives_byte_by_byte_comes_out_whole()
    {
        (IKafkaTransport transport, Socket peer) = await ConnectAsync(1024);
        byte[] sent = [0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0];
        foreach (byte one in sent)
        {
            await peer.SendAsync(new[] { one });
        }

        Assert.Equal([1, 2, 3, 4, 5], (await transport.ReceiveAsync(Until.Timeout())).Payload.ToArray());
        Assert.Equal(0, (await transport.ReceiveAsync(Until.Timeout())).Payload.Length);
    }

    [Fact]
    public async Task A_frame_larger_than_the_first_read_comes_out_whole()
    {
        const int byteCount = 1_000_000;
        (IKafkaTransport transport, Socket peer) = await ConnectAsync(byteCount);
        byte[] frame = new byte[FrameBuffer.SizePrefixByteCount + byteCount];
        new Random(1).NextBytes(frame);
        BinaryPrimitives.WriteInt32BigEndian(frame, byteCount);
        Task sending = peer.SendAsync(frame);
        FrameBuffer received = await transport.ReceiveAsync(Until.Timeout());
        await sending;
        Assert.True(frame.AsSpan().SequenceEqual(received.Bytes.Span));
    }

    [Fact]
    public async Task A_connection_on_which_nothing_happens_is_kept_alive()
    {
        const string tablePath = "/proc/net/tcp";
        Assert.SkipUnless(File.Exists(tablePath), "Only Linux tells which timer a socket has.");
        (_, Socket peer) = await ConnectAsync(1024);
        string local = $":{((IPEndPoint)peer.RemoteEndPoint!).Port:X4}";

        // Columns: number, local and remote address, state, queues, timer and hundredths of a second until it ends. The timer of keep-alive is the second.
        // The table is not read in one piece: while others open and close sockets, one reading may miss some.
        string[] socket = [];
        await Until.TrueAsync(
            async () =>
            {
                socket = (await File.ReadAllLinesAsync(tablePath, Until.Timeout()))
                    .Select(static line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                    .FirstOrDefault(columns => columns[1].EndsWith(local, StringComparison.Ordinal) && columns[3] == "01", []);
                return socket.Length > 0;
            },
            "the connection in the table of sockets");
        string[] timer = socket[5].Split(':');
        Assert.Equal("02", timer[0]);
        Assert.InRange(Convert.ToInt32(timer[1], 16), 0, 3100);
    }

    [Theory]
    [InlineData(1025)]
    [InlineData(int.MaxValue)]
    [InlineData(-1)]
    public async Task A_size_beyond_the_limit_is_refused_with_a_sentence(int claimed)
    {
        (IKafkaTransport transport, Socket peer) = await ConnectAsync(1024);
        byte[] size = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(size, claimed);
        await peer.SendAsync(size);
        KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(async () => await transport.ReceiveAsync(Until.Timeout()));
        Assert.Contains(nameof(KafkaClientOptions.MaxResponseByteCount), failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_peer_that_claims_much_and_sends_little_costs_little_memory()
    {
        const int claimed = 2_000_000_000;
        (IKafkaTransport transport, Socket peer) = await ConnectAsync(claimed);
        byte[] size = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(size, claimed);
        await peer.SendAsync(size);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        Task<FrameBuffer> receiving = transport.ReceiveAsync(Until.Timeout()).AsTask();
        await peer.SendAsync(new byte[1000]);
        peer.Close();
        await Assert.ThrowsAsync<KafkaConnectionException>(() => receiving);
        // Other tests allocate meanwhile, but not as much as the claim.
        Assert.True(GC.GetTotalAllocatedBytes(precise: true) - before < claimed / 2);
    }

    [Fact]
    public async Task Each_address_of_a_name_is_tried_until_one_answers_and_that_one_first_the_next_time()
    {
        // Nobody listens on 127.0.0.2, which is this machine as well.
        List<string> resolved = [];
        var connector = new TcpKafkaConnector(1024, tls: null, (name, _) =>
        {
            resolved.Add(name);
            return Task.FromResult(new[] { IPAddress.Parse("127.0.0.2"), IPAddress.Parse("127.0.0.3"), IPAddress.Loopback });
        });
        var address = new BrokerAddress("three", Address.Port);
        for (int i = 0; i < 2; i++)
        {
            await using IKafkaTransport transport = await connector.ConnectAsync(address, Until.Timeout());
            using Socket peer = await _listener.AcceptSocketAsync(Until.Timeout());
            Assert.Equal(IPAddress.Loopback, ((IPEndPoint)peer.LocalEndPoint!).Address);
        }

        Assert.Equal(["three", "three"], resolved);
        _listener.Stop();
        KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(async () => await connector.ConnectAsync(address, Until.Timeout()));

        // The last one that was tried: it was begun with the one that had worked.
        Assert.Contains("127.0.0.3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_that_cannot_be_resolved_is_a_transient_failure_that_says_so()
    {
        var connector = new TcpKafkaConnector(1024, tls: null, (_, _) => throw new SocketException((int)SocketError.HostNotFound));
        KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(
            async () => await connector.ConnectAsync(new BrokerAddress("nowhere", 1), Until.Timeout()));
        Assert.True(failure.IsTransient);
        Assert.Contains("nowhere:1", failure.Message, StringComparison.Ordinal);
        Assert.Contains("resolved", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_listening_is_a_transient_failure_that_names_the_address()
    {
        _listener.Stop();
        KafkaConnectionException failure = await Assert.ThrowsAsync<KafkaConnectionException>(
            async () => await new TcpKafkaConnector().ConnectAsync(new BrokerAddress("127.0.0.1", 1), Until.Timeout()));
        Assert.True(failure.IsTransient);
        Assert.Contains("127.0.0.1:1", failure.Message, StringComparison.Ordinal);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IKafkaTransport transport in _transports)
        {
            await transport.DisposeAsync();
        }

        _peers.ForEach(static peer => peer.Dispose());
        _listener.Dispose();
    }

    private async Task<(IKafkaTransport Transport, Socket Peer)> ConnectAsync(int maxResponseByteCount)
    {
        Task<Socket> accepting = _listener.AcceptSocketAsync();
        IKafkaTransport transport = await new TcpKafkaConnector(maxResponseByteCount).ConnectAsync(Address, Until.Timeout());
        _transports.Add(transport);
        Socket peer = await accepting;
        _peers.Add(peer);
        return (transport, peer);
    }
}
