using System.Buffers.Binary;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public sealed class TcpTests
{
    [Fact]
    public async Task Records_go_in_and_out_over_a_socket()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);

        string large = new('x', 900_000);
        ProduceResponse produced = await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of("a", large)), 9);
        Assert.Equal(ErrorCode.None, produced.Topics[0].Partitions[0].ErrorCode);

        FetchResponse fetched = await client.SendAsync<FetchRequest, FetchResponse>(TestClientRequests.Fetch("orders", 0), 12);
        Assert.Equal([(0, "a"), (1, large)], Batches.Read(fetched.Topics[0].Partitions[0].Records));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")]
    [InlineData("\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001")] // TLS
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n")]
    public async Task Another_protocol_is_shown_the_door(string greeting)
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient other = await TcpTestClient.ConnectAsync(broker.EndPoint);

        await other.SendRawAsync(Encoding.Latin1.GetBytes(greeting));

        await other.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2102 && line.Text.Contains("127.0.0.1:"));
        await AssertServesAsync(broker);
    }

    [Fact]
    public async Task A_request_that_ends_early_is_noticed()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        byte[] request = MessageCodec.WriteRequest(new MetadataRequest(), 9, 1, "tcp").Bytes.ToArray();

        await client.SendRawAsync(request.AsMemory(0, request.Length - 1));
        client.CloseSending();

        await client.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2102 && line.Text.Contains("ended within a request"));
        await AssertServesAsync(broker);
    }

    [Fact]
    public async Task Claims_of_a_hundred_mebibytes_cost_next_to_nothing()
    {
        await using TestBroker broker = await StartAsync();
        byte[] claim = new byte[8];
        BinaryPrimitives.WriteInt32BigEndian(claim, 100 * 1024 * 1024);
        List<TcpTestClient> claimants = [];
        GC.Collect();
        long before = GC.GetTotalMemory(forceFullCollection: true);
        try
        {
            for (int number = 0; number < 50; number++)
            {
                TcpTestClient claimant = await TcpTestClient.ConnectAsync(broker.EndPoint);
                claimants.Add(claimant);
                await claimant.SendRawAsync(claim);
            }

            await Conditions.BecomesTrueAsync(() => broker.Broker.ConnectionCount == 50, "all are connected");
            await AssertServesAsync(broker);

            // 50 claims of 100 MiB are 5 GB; what the broker may hold for each is a small buffer. What other tests hold goes away.
            await Conditions.BecomesTrueAsync(
                () => GC.GetTotalMemory(forceFullCollection: true) - before < 50L * 1024 * 1024, "the claims are held as small buffers");
        }
        finally
        {
            claimants.ForEach(claimant => claimant.Dispose());
        }
    }

    [Fact]
    public async Task Who_holds_memory_for_a_request_that_does_not_come_gives_it_to_those_who_wait()
    {
        const int limit = 300_000;
        await using TestBroker broker = await StartAsync(static options => options.MaxQueuedRequestByteCount = limit);
        byte[] request = MessageCodec.WriteRequest(TestClientRequests.Produce("orders", Batches.Of(new string('x', 900_000))), 9, 1, "tcp").Bytes.ToArray();
        using TcpTestClient stalled = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await stalled.SendRawAsync(request.AsMemory(..^1));
        await Conditions.BecomesTrueAsync(() => broker.Broker.RequestByteCount >= request.Length, "it has all the memory that there is");

        int timers = broker.Time.PendingTimerCount;
        using TcpTestClient other = await TcpTestClient.ConnectAsync(broker.EndPoint);
        Task<ProduceResponse> waiting = other.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > timers, "the other one waits");
        broker.Time.Advance(ClientConnection.MaxStallTime);
        Assert.Equal(ErrorCode.None, (await waiting).Topics[0].Partitions[0].ErrorCode);
        await stalled.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, static line => line.EventId == 2115);
    }

    [Fact]
    public async Task Requests_that_arrive_count_before_they_are_whole_and_all_of_them_arrive()
    {
        const int limit = 300_000;
        await using TestBroker broker = await StartAsync(static options => options.MaxQueuedRequestByteCount = limit);
        byte[] request = MessageCodec.WriteRequest(TestClientRequests.Produce("orders", Batches.Of(new string('x', 900_000))), 9, 1, "tcp").Bytes.ToArray();
        List<TcpTestClient> clients = [];
        for (int number = 0; number < 6; number++)
        {
            clients.Add(await TcpTestClient.ConnectAsync(broker.EndPoint));
        }

        // All but a little: one of them holds all that it needs, and none is done.
        Task[] sending = [.. clients.Select(client => client.SendRawAsync(request.AsMemory(..^1)))];
        await Conditions.BecomesTrueAsync(() => broker.Broker.RequestByteCount >= request.Length, "one of them is almost whole");

        Task<byte[]?[]> answers = Task.WhenAll(clients.Zip(sending, async (client, begun) =>
        {
            await begun;
            await client.SendRawAsync(request.AsMemory(^1..));
            return await client.ReceiveAsync();
        }));
        await Conditions.BecomesTrueAsync(
            () =>
            {
                Assert.InRange(broker.Broker.RequestByteCount, 0, limit + request.Length);
                return answers.IsCompleted;
            },
            "all are answered");
        Assert.DoesNotContain(null, await answers);
        Assert.Equal(6, broker.Partition("orders").LogEndOffset.Value);
        clients.ForEach(static client => client.Dispose());
        await Conditions.BecomesTrueAsync(() => broker.Broker.RequestByteCount == 0, "nothing is held");
    }

    [Fact]
    public async Task A_client_that_goes_away_within_a_request_gives_back_what_that_held()
    {
        await using TestBroker broker = await StartAsync(static options => options.MaxQueuedRequestByteCount = 1);
        byte[] claim = new byte[8];
        BinaryPrimitives.WriteInt32BigEndian(claim, 1_000_000);
        TcpTestClient first = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await first.SendRawAsync(claim);
        await Conditions.BecomesTrueAsync(() => broker.Broker.RequestByteCount > 0, "it has begun");
        TcpTestClient second = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await second.SendRawAsync(claim);

        first.Dispose();
        second.Dispose();

        await AssertServesAsync(broker);
        await Conditions.BecomesTrueAsync(() => broker.Broker.RequestByteCount == 0, "nothing is held");
    }

    [Fact]
    public async Task A_size_above_the_limit_closes_the_connection()
    {
        await using TestBroker broker = await StartAsync(options => options.MaxRequestByteCount = 2_000_000);
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        byte[] claim = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(claim, 2_000_001);

        await client.SendRawAsync(claim);

        await client.WaitUntilClosedAsync();
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2102 && line.Text.Contains("2000001"));
    }

    [Fact]
    public async Task A_request_may_come_byte_by_byte_while_others_are_served()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient slow = await TcpTestClient.ConnectAsync(broker.EndPoint);
        byte[] request = MessageCodec.WriteRequest(new ApiVersionsRequest(), 2, 42, "slow").Bytes.ToArray();
        foreach (byte one in request[..^1])
        {
            await slow.SendRawAsync(new[] { one });
        }

        await AssertServesAsync(broker);

        await slow.SendRawAsync(request.AsMemory(request.Length - 1));
        byte[]? response = await slow.ReceiveAsync();
        Assert.Equal(42, BinaryPrimitives.ReadInt32BigEndian(response));
    }

    [Fact]
    public async Task Answers_that_are_ready_together_arrive_whole_and_in_order_those_with_records_among_them()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        string large = new('x', 100_000);
        await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(large)), 9);

        // Every third one is answered with 100 KB, the others with some bytes.
        List<byte> requests = [];
        for (int number = 0; number < 30; number++)
        {
            FrameBuffer request = number % 3 == 2
                ? MessageCodec.WriteRequest(TestClientRequests.Fetch("orders", 0), 12, 1000 + number, "tcp")
                : MessageCodec.WriteRequest(TestClientRequests.Produce("orders", Batches.Of("a")), 9, 1000 + number, "tcp");
            requests.AddRange(request.Bytes.ToArray());
            request.Release();
        }

        await client.SendRawAsync(requests.ToArray());
        for (int number = 0; number < 30; number++)
        {
            byte[]? response = await client.ReceiveAsync();
            Assert.Equal(1000 + number, BinaryPrimitives.ReadInt32BigEndian(response));
            Assert.Equal(number % 3 == 2, response!.Length > large.Length);
        }
    }

    [Fact]
    public async Task A_connection_on_which_nothing_happens_is_closed_in_time()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient idle = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await idle.SendRawAsync(new byte[] { 0, 0, 1 }); // A beginning that never goes on.
        using TcpTestClient polling = await TcpTestClient.ConnectAsync(broker.EndPoint);
        int timers = broker.Time.PendingTimerCount;
        Task<FetchResponse> poll = polling.SendAsync<FetchRequest, FetchResponse>(
            TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: int.MaxValue), 12);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > timers, "the fetch waits");

        // Its bytes may arrive only after time has begun to pass.
        Task closed = idle.WaitUntilClosedAsync();
        await broker.BecomesTrueWithTimeAsync(() => closed.IsCompleted, "the idle connection is closed", step: TimeSpan.FromMinutes(1));
        await closed;
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2109);

        // A fetch that waits is not idleness.
        await using TestClient producer = broker.Connect();
        await producer.ProduceAsync("orders", Batches.Of("a"));
        Assert.Equal([(0, "a")], Batches.Read((await poll).Topics[0].Partitions[0].Records));
    }

    [Fact]
    public async Task One_connection_too_many_is_refused_and_a_place_becomes_free_again()
    {
        await using TestBroker broker = await StartAsync(options => options.MaxConnections = 2);
        using TcpTestClient first = await TcpTestClient.ConnectAsync(broker.EndPoint);
        using TcpTestClient second = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await first.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);
        await second.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);

        using (TcpTestClient third = await TcpTestClient.ConnectAsync(broker.EndPoint))
        {
            await third.WaitUntilClosedAsync();
        }

        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2108 && line.Text.Contains("max.connections allows 2"));
        await first.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);

        second.Dispose();
        await Conditions.BecomesTrueAsync(() => broker.Broker.ConnectionCount == 1, "the second one is gone");
        using TcpTestClient fourth = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await fourth.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);
    }

    [Fact]
    public async Task A_connection_that_cannot_be_taken_keeps_nobody_else_out()
    {
        ManualTime time = new();
        using var listener = Listener.Start(
            new ListenerConfiguration(ListenerProtocol.Plaintext, new IPEndPoint(IPAddress.Loopback, 0), AdvertisedHost: null, AdvertisedPort: null), time, NullLogger.Instance);
        using CancellationTokenSource stop = new();
        int count = 0;
        Task accepting = listener.AcceptAsync(
            (socket, _) =>
            {
                socket.Dispose();
                if (Interlocked.Increment(ref count) == 1)
                {
                    throw new InvalidOperationException("no place for it");
                }
            },
            stop.Token);

        using TcpTestClient refused = await TcpTestClient.ConnectAsync(listener.EndPoint);
        using TcpTestClient next = await TcpTestClient.ConnectAsync(listener.EndPoint);
        await Conditions.BecomesTrueAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(1));
                return Volatile.Read(ref count) == 2 || accepting.IsCompleted;
            },
            "the next connection is taken");

        await stop.CancelAsync();
        await accepting;
        Assert.Equal(2, count);
    }

    [Fact]
    public async Task A_port_in_use_is_said_in_a_sentence()
    {
        await using TestBroker broker = await StartAsync();
        string directory = Directory.CreateTempSubdirectory("millrace-broker-").FullName;
        var options = new BrokerOptions { DataDirectory = directory, Listen = broker.EndPoint };

        BrokerStartException refused = await Assert.ThrowsAsync<BrokerStartException>(
            () => KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, new RecordingLogs()));

        Assert.Equal(BrokerStartFailure.Listen, refused.Failure);
        Assert.Contains($"127.0.0.1:{broker.EndPoint.Port}", refused.Message);
        Assert.Contains("choose another port", refused.Message);
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task The_same_port_is_free_after_a_stop_with_clients_connected()
    {
        await using TestBroker broker = await StartAsync();
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);
        IPEndPoint endPoint = broker.EndPoint;
        await broker.Broker.StopAsync();
        await client.WaitUntilClosedAsync();

        var options = new BrokerOptions { DataDirectory = broker.DataDirectory, Listen = endPoint };
        await using KafkaBroker again = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, new RecordingLogs());

        Assert.Equal(endPoint, again.ListenEndPoint);
    }

    [Fact]
    public async Task A_client_that_does_not_read_is_cut_at_the_stop()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient producer = broker.Connect())
        {
            await producer.ProduceAsync("orders", Batches.Of(new string('x', 1_000_000)));
        }

        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        for (int request = 0; request < 64; request++)
        {
            await client.SendRawAsync(MessageCodec.WriteRequest(TestClientRequests.Fetch("orders", 0), 12, request, "tcp").Bytes);
        }

        // While there is room in the socket, a send ends between two looks.
        int looks = 0;
        await Conditions.BecomesTrueAsync(
            () =>
            {
                looks = broker.Broker.IsAnyConnectionSending ? looks + 1 : 0;
                return looks == 50;
            },
            "the socket is full");
        Task stop = broker.Broker.StopAsync();
        await Conditions.BecomesTrueAsync(
            () =>
            {
                broker.Time.Advance(TimeSpan.FromMilliseconds(100));
                return stop.IsCompleted;
            },
            "the stop ends");
        await stop;
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2002);
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2001);
    }

    private static async Task<TestBroker> StartAsync(Action<BrokerOptions>? configure = null)
    {
        TestBroker broker = await TestBroker.StartListeningAsync(configure);
        await broker.CreateTopicAsync("orders");
        await Conditions.BecomesTrueAsync(() => broker.Broker.ConnectionCount == 0, "the creator is gone");
        return broker;
    }

    private static async Task AssertServesAsync(TestBroker broker)
    {
        using TcpTestClient good = await TcpTestClient.ConnectAsync(broker.EndPoint);
        ProduceResponse produced = await good.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of("good")), 9);
        Assert.Equal(ErrorCode.None, produced.Topics[0].Partitions[0].ErrorCode);
    }
}
