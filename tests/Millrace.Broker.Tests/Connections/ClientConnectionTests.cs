using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class ClientConnectionTests
{
    [Fact]
    public async Task Responses_keep_the_order_of_the_requests_while_an_earlier_one_waits_for_the_disk()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();

        int first = await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        int second = await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("b"), acks: 1), 9);
        int third = await client.PostAsync(new ApiVersionsRequest(), 2);

        // The second one is done and appended; its response stands behind the first one's.
        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LogEndOffset.Value == 2, "both records are in the log");
        Assert.False(client.HasResponse);

        broker.Storage.OpenGate();
        Assert.Equal(first, (await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9)).CorrelationId);
        Assert.Equal(second, (await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9)).CorrelationId);
        Assert.Equal(third, (await client.ReceiveAsync<ApiVersionsRequest, ApiVersionsResponse>(2)).CorrelationId);
    }

    [Fact]
    public async Task Requests_in_flight_are_bounded()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.MaxInFlightRequests = 3);
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();
        for (int request = 0; request < 10; request++)
        {
            await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        }

        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LogEndOffset.Value == 3, "three requests have begun");
        Assert.Equal(3, broker.Partition("orders").LogEndOffset.Value);

        broker.Storage.OpenGate();
        for (int request = 0; request < 10; request++)
        {
            await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        }

        Assert.Equal(10, broker.Partition("orders").LogEndOffset.Value);
    }

    [Fact]
    public async Task Requests_of_all_connections_together_are_bounded_in_memory_and_long_polls_hold_none()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.MaxQueuedRequestByteCount = 1);
        await broker.CreateTopicAsync("orders");
        await using TestClient poller = broker.Connect();
        await using TestClient first = broker.Connect();
        await using TestClient second = broker.Connect();
        await poller.PostAsync(TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000, minBytes: 1_000_000), 12);
        broker.Storage.CloseGate();
        await first.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LogEndOffset.Value == 1, "the first request has begun");

        // Whatever else comes waits.
        await first.PostAsync(TestClientRequests.Produce("orders", Batches.Of("b")), 9);
        for (int request = 0; request < 5; request++)
        {
            await second.PostAsync(TestClientRequests.Produce("orders", Batches.Of("c"), acks: 1), 9);
        }

        for (int look = 0; look < 1000; look++)
        {
            await Task.Yield();
            Assert.Equal(1, broker.Partition("orders").LogEndOffset.Value);
        }

        broker.Storage.OpenGate();
        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LogEndOffset.Value == 7, "everything is appended");
    }

    [Fact]
    public async Task A_request_behind_a_long_poll_waits_for_its_answer()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await using TestClient other = broker.Connect();

        int poll = await client.PostAsync(TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000), 12);
        int produce = await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("mine")), 9);
        await other.ProduceAsync("orders", Batches.Of("theirs"));

        (int answered, FetchResponse fetched) = await client.ReceiveAsync<FetchRequest, FetchResponse>(12);
        Assert.Equal(poll, answered);
        Assert.Equal([(0, "theirs")], Batches.Read(fetched.Topics[0].Partitions[0].Records));
        Assert.Equal(produce, (await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9)).CorrelationId);
    }

    [Fact]
    public async Task A_request_behind_a_long_poll_keeps_no_memory_from_others()
    {
        await using TestBroker broker = await TestBroker.StartAsync(static options => options.MaxQueuedRequestByteCount = 1);
        await broker.CreateTopicAsync("orders");
        await broker.CreateTopicAsync("others");
        await using TestClient client = broker.Connect();
        await using TestClient other = broker.Connect();
        int timers = broker.Time.PendingTimerCount;
        await client.PostAsync(TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000), 12);
        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("mine")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > timers, "the poll waits");

        Assert.Equal(ErrorCode.None, (await other.ProduceAsync("others", Batches.Of("theirs"))).ErrorCode);
        Assert.False(client.HasResponse);
    }

    [Fact]
    public async Task A_request_that_is_done_holds_no_memory_behind_one_that_is_not()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await broker.CreateTopicAsync("slow");
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();
        await client.PostAsync(TestClientRequests.Produce("slow", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the first one waits for the disk");
        long held = broker.Broker.RequestByteCount;
        Assert.True(held > 0);

        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of(new string('x', 10_000)), acks: 1), 9);
        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LogEndOffset.Value == 1 && broker.Broker.RequestByteCount == held, "the second one is done");

        Assert.False(client.HasResponse);
        broker.Storage.OpenGate();
        await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal(0, broker.Broker.RequestByteCount);
    }

    [Fact]
    public async Task A_client_that_goes_away_takes_its_long_poll_with_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        int timers = broker.Time.PendingTimerCount;
        TestClient client = broker.Connect();
        await client.PostAsync(TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000), 12);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount == timers + 1, "the poll waits");

        await client.DisposeAsync();

        await Conditions.BecomesTrueAsync(() => broker.Broker.ConnectionCount == 0, "the connection is gone");
        Assert.Equal(timers, broker.Time.PendingTimerCount);
    }

    [Fact]
    public async Task An_unknown_api_closes_the_connection_with_a_line_in_the_log()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        await client.PostRawAsync(RawRequest(key: 59, version: 0));

        Assert.Equal(0, await client.CountResponsesUntilClosedAsync());
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2104 && line.Text.Contains("in-memory-") && line.Text.Contains("59"));
    }

    [Fact]
    public async Task An_unsupported_version_closes_the_connection_with_a_line_in_the_log()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        await client.PostRawAsync(RawRequest(key: (short)ApiKey.Fetch, version: 18, 0));

        Assert.Equal(0, await client.CountResponsesUntilClosedAsync());
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2105 && line.Text.Contains("Fetch version 18"));
    }

    [Fact]
    public async Task A_malformed_request_closes_its_connection_and_no_other()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient bad = broker.Connect();
        await using TestClient good = broker.Connect();

        // A Metadata request whose array claims two thousand million topics.
        await bad.PostRawAsync(RawRequest(key: (short)ApiKey.Metadata, version: 1, 0x7F, 0xFF, 0xFF, 0xFF));

        Assert.Equal(0, await bad.CountResponsesUntilClosedAsync());
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2103 && line.Text.Contains("Metadata") && line.Text.Contains("in-memory-"));
        Assert.Equal(ErrorCode.None, (await good.ProduceAsync("orders", Batches.Of("a"))).ErrorCode);
    }

    [Fact]
    public async Task A_large_request_without_records_is_not_read()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        var large = new JoinGroupRequest
        {
            GroupId = "g",
            SessionTimeoutMilliseconds = 10_000,
            ProtocolType = "consumer",
            Protocols = [new JoinGroupProtocol { Name = "range", Metadata = new byte[ClientConnection.MaxByteCountWithoutRecords] }],
        };

        await client.PostAsync(large, 5);

        Assert.Equal(0, await client.CountResponsesUntilClosedAsync());
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2102 && line.Text.Contains("JoinGroup") && line.Text.Contains("without records"));
    }

    [Fact]
    public async Task What_was_answered_before_a_malformed_request_still_arrives()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        await client.PostAsync(new ApiVersionsRequest(), 2);
        await client.PostRawAsync(RawRequest(key: (short)ApiKey.Metadata, version: 1, 0x7F, 0xFF, 0xFF, 0xFF));

        Assert.Equal(1, await client.CountResponsesUntilClosedAsync());
    }

    [Fact]
    public async Task A_frame_whose_prefix_lies_closes_the_connection()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();
        FrameBuffer frame = RawRequest((short)ApiKey.ApiVersions, 0);
        frame.Bytes.Span[3]++;

        await client.PostRawAsync(frame);

        Assert.Equal(0, await client.CountResponsesUntilClosedAsync());
    }

    [Fact]
    public async Task A_slow_reader_is_not_read_from()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.MaxInFlightRequests = 2);
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();

        // Nobody reads: the queue of responses fills, then the requests in flight, then the queue of requests.
        int posted = 0;
        Task writing = Task.Run(async () =>
        {
            for (; posted < 1000; posted++)
            {
                await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a"), acks: 1), 9);
            }
        });
        long before = -1;
        await Conditions.BecomesTrueAsync(
            () =>
            {
                long end = broker.Partition("orders").LogEndOffset.Value;
                bool isStill = end == before && end > 64;
                before = end;
                return isStill;
            },
            "the broker stops reading");
        Assert.False(writing.IsCompleted);
        Assert.InRange(broker.Partition("orders").LogEndOffset.Value, 64, 80);

        for (int response = 0; response < 1000; response++)
        {
            await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        }

        await writing;
        Assert.Equal(1000, broker.Partition("orders").LogEndOffset.Value);
    }

    /// <summary>A frame with a header of version 1 and the bytes of a body.</summary>
    internal static FrameBuffer RawRequest(short key, short version, params byte[] body)
    {
        byte[] payload = [(byte)(key >> 8), (byte)key, (byte)(version >> 8), (byte)version, 0, 0, 0, 7, 0xFF, 0xFF, .. body];
        FrameBuffer frame = FrameBuffer.Rent(payload.Length + FrameBuffer.SizePrefixByteCount);
        payload.CopyTo(frame.Bytes.Span[FrameBuffer.SizePrefixByteCount..]);
        return frame;
    }
}
