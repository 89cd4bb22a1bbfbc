using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public sealed class ListOffsetsApiTests
{
    private const long Latest = -1;
    private const long Earliest = -2;
    private const long MaxTimestamp = -3;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(7)]
    public async Task The_ends_of_a_partition(short version)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal((ErrorCode.None, 5), Outcome(await AskAsync(client, Latest, version)));
        Assert.Equal((ErrorCode.None, 0), Outcome(await AskAsync(client, Earliest, version)));
    }

    [Fact]
    public async Task Who_reads_committed_records_is_told_the_last_stable_offset()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        broker.Partition("orders").Append(Batches.InTransaction(new ProducerIdentity(7, 0), 0, "open").Span, AppendDurability.PageCache);
        ListOffsetsRequest request = new()
        {
            IsolationLevel = 1, Topics = [new ListOffsetsTopic { Name = "orders", Partitions = [new ListOffsetsPartition { Timestamp = Latest }] }],
        };

        ListOffsetsResponse committed = await client.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(request, 7);

        Assert.Equal((ErrorCode.None, 5), Outcome(committed.Topics[0].Partitions[0]));
        Assert.Equal((ErrorCode.None, 6), Outcome(await AskAsync(client, Latest, 7)));
    }

    [Fact]
    public async Task Version_0_answers_a_list()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal([5], (await AskAsync(client, Latest, 0)).OldStyleOffsets);
        Assert.Equal([0], (await AskAsync(client, Earliest, 0)).OldStyleOffsets);
        Assert.Equal([2], (await AskAsync(client, 250, 0)).OldStyleOffsets);
        Assert.Empty((await AskAsync(client, 9999, 0)).OldStyleOffsets);
    }

    [Theory]
    [InlineData(0, 0, 100)]
    [InlineData(100, 0, 100)]
    [InlineData(101, 1, 200)]
    [InlineData(201, 2, 500)]
    [InlineData(350, 2, 500)]
    [InlineData(500, 2, 500)]
    [InlineData(501, -1, -1)]
    public async Task A_time_finds_the_first_record_that_is_not_before_it(long timestamp, long expectedOffset, long expectedTimestamp)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        ListOffsetsPartitionResponse response = await AskAsync(client, timestamp, 7);

        Assert.Equal((ErrorCode.None, expectedOffset), Outcome(response));
        Assert.Equal(expectedTimestamp, response.Timestamp);
    }

    [Theory]
    [InlineData(-4, 7, ErrorCode.UnsupportedVersion, -1)]
    [InlineData(-4, 8, ErrorCode.None, 0)]
    [InlineData(-5, 8, ErrorCode.UnsupportedVersion, -1)]
    [InlineData(-5, 9, ErrorCode.None, -1)]
    [InlineData(-6, 10, ErrorCode.UnsupportedVersion, -1)]
    [InlineData(-6, 11, ErrorCode.None, -1)]
    public async Task All_records_are_on_the_broker_and_none_stored_elsewhere(long timestamp, short version, ErrorCode error, long offset)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal((error, offset), Outcome(await AskAsync(client, timestamp, version)));
    }

    [Fact]
    public async Task The_largest_time_is_found_from_version_7_on()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        ListOffsetsPartitionResponse response = await AskAsync(client, MaxTimestamp, 7);
        Assert.Equal((ErrorCode.None, 2), Outcome(response));
        Assert.Equal(500, response.Timestamp);
        Assert.Equal(ErrorCode.UnsupportedVersion, (await AskAsync(client, MaxTimestamp, 6)).ErrorCode);
        Assert.Equal(ErrorCode.UnsupportedVersion, (await AskAsync(client, -4, 7)).ErrorCode);
    }

    [Fact]
    public async Task An_empty_partition_has_ends_and_no_times()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();

        Assert.Equal((ErrorCode.None, 0), Outcome(await AskAsync(client, Latest, 7)));
        Assert.Equal((ErrorCode.None, -1), Outcome(await AskAsync(client, 0, 7)));
        Assert.Equal((ErrorCode.None, -1), Outcome(await AskAsync(client, MaxTimestamp, 7)));
    }

    [Fact]
    public async Task The_end_is_what_consumers_may_see()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await using TestClient producer = broker.Connect();
        broker.Storage.CloseGate();
        await producer.PostAsync(TestClientRequests.Produce("orders", Batches.Timed((900, "unsynced"))), 9);
        await Conditions.BecomesTrueAsync(() => broker.Partition("orders").LogEndOffset.Value == 6, "the record is appended");

        Assert.Equal((ErrorCode.None, 5), Outcome(await AskAsync(client, Latest, 7)));
        Assert.Equal((ErrorCode.None, -1), Outcome(await AskAsync(client, 900, 7)));
    }

    [Fact]
    public async Task A_record_inside_a_compressed_batch_is_found()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Timed(ProducerIdentity.None, -1, CompressionCodec.Gzip, [(10, "a"), (20, "b"), (30, "c")]));

        Assert.Equal((ErrorCode.None, 1), Outcome(await AskAsync(client, 15, 7)));
    }

    [Fact]
    public async Task Answers_carry_the_epoch_in_which_the_record_was_written()
    {
        await using TestBroker broker = await StartAsync();
        int firstEpoch = broker.Partition("orders").LeaderEpoch;
        await broker.CrashAndRestartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Timed((900, "after")));
        int secondEpoch = broker.Partition("orders").LeaderEpoch;

        Assert.Equal(firstEpoch, (await AskAsync(client, Earliest, 7)).LeaderEpoch);
        Assert.Equal(firstEpoch, (await AskAsync(client, 500, 7)).LeaderEpoch);
        Assert.Equal(secondEpoch, (await AskAsync(client, 900, 7)).LeaderEpoch);
        Assert.Equal(secondEpoch, (await AskAsync(client, Latest, 7)).LeaderEpoch);
        Assert.Equal(ErrorCode.FencedLeaderEpoch, (await AskAsync(client, Latest, 7, epoch: firstEpoch)).ErrorCode);
        Assert.Equal(ErrorCode.UnknownLeaderEpoch, (await AskAsync(client, Latest, 7, epoch: secondEpoch + 1)).ErrorCode);
    }

    [Fact]
    public async Task A_partition_that_is_not_there_has_no_offsets()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await AskAsync(client, Latest, 7)).ErrorCode);
    }

    /// <summary>Five records at 100, 200, 500, 300, 400: the times of a partition need not rise.</summary>
    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Timed((100, "a"), (200, "b")));
        await client.ProduceAsync("orders", Batches.Timed((500, "c"), (300, "d")));
        await client.ProduceAsync("orders", Batches.Timed((400, "e")));
        return broker;
    }

    private static async Task<ListOffsetsPartitionResponse> AskAsync(TestClient client, long timestamp, short version, int epoch = -1)
    {
        var request = new ListOffsetsRequest
        {
            Topics =
            [
                new ListOffsetsTopic
                {
                    Name = "orders",
                    Partitions = [new ListOffsetsPartition { Index = 0, Timestamp = timestamp, CurrentLeaderEpoch = epoch }],
                },
            ],
        };
        ListOffsetsResponse response = await client.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(request, version);
        return response.Topics[0].Partitions[0];
    }

    private static (ErrorCode Error, long Offset) Outcome(ListOffsetsPartitionResponse response) => (response.ErrorCode, response.Offset);
}
