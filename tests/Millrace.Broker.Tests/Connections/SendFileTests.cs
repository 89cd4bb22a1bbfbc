using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class SendFileTests
{
    [Fact]
    public async Task Large_and_small_records_of_several_partitions_arrive_as_they_were_sent()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        await broker.CreateTopicAsync("orders", 3);
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        string[][] values =
        [
            [.. Enumerable.Range(0, 8).Select(batch => new string((char)('a' + batch), 200_000))],
            ["small"],
            ["one", new string('z', 900_000), "two"],
        ];
        for (int partition = 0; partition < values.Length; partition++)
        {
            foreach (string value in values[partition])
            {
                await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(value), partition), 9);
            }
        }

        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.Topics[0].Partitions =
        [
            .. Enumerable.Range(0, 3).Select(partition => new FetchPartition { Index = partition, MaxBytes = 10_000_000 }),
        ];
        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        Assert.Equal(
            values, response.Topics[0].Partitions.Select(partition => Batches.Read(partition.Records).Select(record => record.Value).ToArray()));
    }

    [Theory]
    [InlineData(0, 1_000_000, 4)]
    [InlineData(0, 450_000, 2)]
    [InlineData(0, 100, 1)]
    [InlineData(2, 1_000_000, 2)]
    [InlineData(3, 1_000_000, 1)]
    public async Task A_piece_of_a_file_holds_whole_batches_within_the_limit(long offset, int maxBytes, int expectedCount)
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        await broker.CreateTopicAsync("orders");
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        for (int batch = 0; batch < 4; batch++)
        {
            await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(new string('x', 200_000))), 9);
        }

        FetchRequest request = TestClientRequests.Fetch("orders", offset);
        request.Topics[0].Partitions[0].MaxBytes = maxBytes;
        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        Assert.Equal(
            Enumerable.Range((int)offset, expectedCount).Select(number => (long)number),
            Batches.Read(response.Topics[0].Partitions[0].Records).Select(record => record.Offset));
    }

    [Fact]
    public async Task What_waits_for_the_disk_is_not_in_the_piece()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        await broker.CreateTopicAsync("orders");
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(new string('a', 200_000))), 9);
        broker.Storage.CloseGate();
        using TcpTestClient waiting = await TcpTestClient.ConnectAsync(broker.EndPoint);
        ProduceRequest unsynced = TestClientRequests.Produce("orders", Batches.Of(new string('b', 200_000)));
        await waiting.SendRawAsync(MessageCodec.WriteRequest(unsynced, 9, 1, "tcp").Bytes);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(TestClientRequests.Fetch("orders", 0), 12);

        Assert.Equal(0, Assert.Single(Batches.Read(response.Topics[0].Partitions[0].Records)).Offset);
    }

    [Fact]
    public async Task A_client_that_reads_slowly_gets_every_byte()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        await broker.CreateTopicAsync("orders");
        using TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        for (int batch = 0; batch < 40; batch++)
        {
            await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(new string('x', 1_000_000))), 9);
        }

        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.Topics[0].Partitions[0].MaxBytes = int.MaxValue;
        await client.SendRawAsync(MessageCodec.WriteRequest(request, 12, 1, "tcp").Bytes);

        // More than the buffers of both sockets hold: the kernel stops in the middle of the file, and goes on as the client reads.
        await Conditions.BecomesTrueAsync(() => broker.Broker.IsAnyConnectionSending, "the response is on its way");
        byte[]? payload = await client.ReceiveAsync();
        Assert.True(MessageCodec.TryReadResponse(payload, FetchRequest.Api, 12, out _, out FetchResponse? response, out string? error), error);
        Assert.Equal(40, Batches.Read(response.Topics[0].Partitions[0].Records).Count);
    }

    [Fact]
    public async Task A_file_that_has_fewer_bytes_than_the_client_was_promised_ends_the_connection()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        using TcpTestClient client = await BeginToReadAsync(broker);
        string path = Path.Combine(broker.DataDirectory, "orders-0", "00000000000000000000.log");
        await using (FileStream log = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            log.SetLength(log.Length - 1_000_000);
        }

        Assert.Null(await client.ReceiveAsync());
    }

    [Fact]
    public async Task A_file_is_let_go_when_its_piece_is_sent()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The files of a process are looked up in /proc.");
        await using TestBroker broker = await TestBroker.StartListeningAsync();
        using TcpTestClient client = await BeginToReadAsync(broker);
        string folder = Path.Combine(broker.DataDirectory, "orders-0");
        Assert.NotNull(await client.ReceiveAsync());

        await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(new DeleteTopicsRequest { TopicNames = ["orders"], TimeoutMilliseconds = 30_000 }, 4);

        await Conditions.BecomesTrueAsync(
            () => !Directory.EnumerateFiles("/proc/self/fd").Any(file => new FileInfo(file).LinkTarget?.StartsWith(folder, StringComparison.Ordinal) == true),
            "no file of the topic is open");
    }

    /// <summary>A client that has asked for more than the buffers of both sockets hold, and has not read any of it.</summary>
    private static async Task<TcpTestClient> BeginToReadAsync(TestBroker broker)
    {
        await broker.CreateTopicAsync("orders");
        TcpTestClient client = await TcpTestClient.ConnectAsync(broker.EndPoint);
        for (int batch = 0; batch < 20; batch++)
        {
            await client.SendAsync<ProduceRequest, ProduceResponse>(TestClientRequests.Produce("orders", Batches.Of(new string('x', 1_000_000))), 9);
        }

        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.Topics[0].Partitions[0].MaxBytes = int.MaxValue;
        await client.SendRawAsync(MessageCodec.WriteRequest(request, 12, 1, "tcp").Bytes);
        await Conditions.BecomesTrueAsync(() => broker.Broker.IsAnyConnectionSending, "the response is on its way");
        return client;
    }
}
