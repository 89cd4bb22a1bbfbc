using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

public sealed class FetchSessionTests
{
    [Fact]
    public async Task An_incremental_fetch_names_and_gets_only_what_is_new()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"), partition: 1);
        FetchResponse first = await FetchAsync(client, 0, 0, [(0, 0), (1, 0), (2, 0)]);
        Assert.NotEqual(0, first.SessionId);
        Assert.Equal([0, 1, 2], Answered(first));

        FetchResponse second = await FetchAsync(client, first.SessionId, 1, [(1, 1)]);
        Assert.Equal((first.SessionId, ErrorCode.None), (second.SessionId, second.ErrorCode));
        Assert.Empty(Answered(second));

        await client.ProduceAsync("orders", Batches.Of("b"), partition: 2);
        FetchResponse third = await FetchAsync(client, first.SessionId, 2, []);
        Assert.Equal([(0, "b")], Batches.Read(Assert.Single(third.Topics[0].Partitions).Records));
    }

    [Fact]
    public async Task A_forgotten_partition_is_fetched_no_more()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        FetchResponse first = await FetchAsync(client, 0, 0, [(0, 0), (1, 0)]);
        await client.ProduceAsync("orders", Batches.Of("a"), partition: 0);
        await client.ProduceAsync("orders", Batches.Of("b"), partition: 1);

        FetchResponse second = await FetchAsync(client, first.SessionId, 1, [], forgotten: [0]);
        Assert.Equal([1], Answered(second));

        // With the last partition the session goes.
        FetchResponse third = await FetchAsync(client, first.SessionId, 2, [], forgotten: [1]);
        Assert.Equal((0, ErrorCode.None), (third.SessionId, third.ErrorCode));
        Assert.Equal(ErrorCode.FetchSessionIdNotFound, (await FetchAsync(client, first.SessionId, 3, [])).ErrorCode);
    }

    [Fact]
    public async Task A_partition_that_gave_records_comes_after_the_others()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        for (int partition = 0; partition < 3; partition++)
        {
            await client.ProduceAsync("orders", Batches.Of("a"), partition);
        }

        FetchResponse first = await FetchAsync(client, 0, 0, [(0, 0), (1, 0), (2, 0)], maxBytes: 1);
        Assert.Equal([1, 0, 0], first.Topics[0].Partitions.Select(partition => Batches.Read(partition.Records).Count));

        FetchResponse second = await FetchAsync(client, first.SessionId, 1, [], maxBytes: 1);
        Assert.Equal([1], Answered(second));
        FetchResponse third = await FetchAsync(client, first.SessionId, 2, [(0, 1), (1, 1)], maxBytes: 1);
        Assert.Equal([2], Answered(third));
    }

    [Fact]
    public async Task After_an_error_the_next_answer_is_told_whatever_it_is()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        FetchResponse first = await FetchAsync(client, 0, 0, [(0, 9)]);
        Assert.Equal(ErrorCode.OffsetOutOfRange, first.Topics[0].Partitions[0].ErrorCode);

        FetchResponse second = await FetchAsync(client, first.SessionId, 1, [(0, 0)]);
        Assert.Equal([0], Answered(second));
        Assert.Empty(Answered(await FetchAsync(client, first.SessionId, 2, [])));
    }

    [Fact]
    public async Task An_error_is_told_each_time_and_so_is_what_follows_it_though_the_offsets_are_as_before_it()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        int session = (await FetchAsync(client, 0, 0, [(0, 0)])).SessionId;
        for (int epoch = 1; epoch <= 2; epoch++)
        {
            FetchResponse failed = await FetchAsync(client, session, epoch, [(0, 9)]);
            Assert.Equal(ErrorCode.OffsetOutOfRange, Assert.Single(failed.Topics[0].Partitions).ErrorCode);
        }

        Assert.Equal([0], Answered(await FetchAsync(client, session, 3, [(0, 0)])));
        Assert.Empty(Answered(await FetchAsync(client, session, 4, [])));
    }

    [Fact]
    public async Task Offsets_that_have_moved_are_told_without_records()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"), partition: 0);
        await client.ProduceAsync("orders", Batches.Of("b"), partition: 1);
        int session = (await FetchAsync(client, 0, 0, [(0, 1), (1, 1)])).SessionId;

        broker.Partition("orders", 1).DeleteRecords(new Offset(1));
        FetchPartitionResponse start = Assert.Single((await FetchAsync(client, session, 1, [])).Topics[0].Partitions);
        Assert.Equal((1, 1), (start.Index, start.LogStartOffset));

        // The first one takes all the room that there is.
        await client.ProduceAsync("orders", Batches.Of("c"), partition: 0);
        await client.ProduceAsync("orders", Batches.Of("d"), partition: 1);
        FetchResponse full = await FetchAsync(client, session, 2, [], maxBytes: 1);
        Assert.Equal([(0, 2, 1), (1, 2, 0)], full.Topics[0].Partitions.Select(answer => (answer.Index, answer.HighWatermark, Batches.Read(answer.Records).Count)));
    }

    [Fact]
    public async Task Where_logs_part_ways_is_told_each_time()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient before = broker.Connect())
        {
            await before.ProduceAsync("orders", Batches.Of("a"));
        }

        await broker.CrashAndRestartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("b", "c"));
        FetchRequest request = Request(0, 0, [(0, 2)]);
        request.Topics[0].Partitions[0].LastFetchedEpoch = 0;
        FetchResponse first = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);
        FetchResponse second = await FetchAsync(client, first.SessionId, 1, []);

        Assert.All([first, second], response => Assert.Equal(1, Assert.Single(response.Topics[0].Partitions).DivergingEpoch?.EndOffset));
    }

    [Fact]
    public void Epochs_of_a_session_begin_anew_after_the_greatest()
    {
        Assert.Equal(2, FetchSession.EpochAfter(1));
        Assert.Equal(1, FetchSession.EpochAfter(int.MaxValue));
    }

    [Fact]
    public void The_partitions_of_all_sessions_together_are_bounded()
    {
        var sessions = new FetchSessions(new ManualTime(), new Random(1));
        FetchRequest half = Request(0, 0, [.. Enumerable.Range(0, (FetchSessions.MaxPartitionCount / 2) + 1).Select(partition => (partition, 0L))]);
        int first = SessionOf(sessions.Begin(half, namesTopicsById: false))!.Id;
        Assert.Null(SessionOf(sessions.Begin(half, namesTopicsById: false)));

        // What a session had is free when it is gone, however that came.
        int small = SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false))!.Id;
        FetchRequest growing = Request(small, 1, []);
        growing.Topics = half.Topics;
        Assert.Equal(new FetchContext.Refused(ErrorCode.FetchSessionIdNotFound), sessions.Begin(growing, namesTopicsById: false));
        Assert.Equal(1, sessions.Count);
        SessionOf(sessions.Begin(Request(first, -1, []), namesTopicsById: false));
        Assert.NotNull(SessionOf(sessions.Begin(half, namesTopicsById: false)));
    }

    [Fact]
    public void Sessions_that_nobody_uses_give_way_where_their_partitions_leave_no_room()
    {
        var time = new ManualTime();
        var sessions = new FetchSessions(time, new Random(1));
        FetchRequest half = Request(0, 0, [.. Enumerable.Range(0, (FetchSessions.MaxPartitionCount / 2) + 1).Select(partition => (partition, 0L))]);
        int used = SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false))!.Id;
        int first = SessionOf(sessions.Begin(half, namesTopicsById: false))!.Id;
        time.Advance(FetchSessions.MinIdleTimeForEviction);
        sessions.Begin(Request(used, 1, []), namesTopicsById: false);

        int second = SessionOf(sessions.Begin(half, namesTopicsById: false))!.Id;
        Assert.IsType<FetchContext.Refused>(sessions.Begin(Request(first, 1, []), namesTopicsById: false));

        // So it is where one that is used grows.
        time.Advance(FetchSessions.MinIdleTimeForEviction);
        FetchRequest growing = Request(used, 2, []);
        growing.Topics = half.Topics;
        Assert.Equal(used, SessionOf(sessions.Begin(growing, namesTopicsById: false))!.Id);
        Assert.IsType<FetchContext.Refused>(sessions.Begin(Request(second, 1, []), namesTopicsById: false));
    }

    [Fact]
    public void A_session_that_is_used_does_not_give_way()
    {
        var time = new ManualTime();
        var sessions = new FetchSessions(time, new Random(1));
        List<int> ids = [];
        for (int count = 0; count < FetchSessions.MaxSessionCount; count++)
        {
            ids.Add(SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false))!.Id);
        }

        time.Advance(FetchSessions.MinIdleTimeForEviction);
        sessions.Begin(Request(ids[0], 1, []), namesTopicsById: false);
        int last = SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false))!.Id;
        Assert.IsType<FetchContext.Accepted>(sessions.Begin(Request(ids[0], 2, []), namesTopicsById: false));
        Assert.IsType<FetchContext.Refused>(sessions.Begin(Request(ids[1], 1, []), namesTopicsById: false));

        // All that are left were used a moment ago.
        foreach (int id in ids.Skip(2))
        {
            sessions.Begin(Request(id, 1, []), namesTopicsById: false);
        }

        sessions.Begin(Request(last, 1, []), namesTopicsById: false);
        sessions.Begin(Request(ids[0], 3, []), namesTopicsById: false);
        Assert.Null(SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false)));
    }

    [Fact]
    public async Task Requests_of_a_session_carry_its_epochs_in_order_and_a_repetition_is_refused()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        int session = (await FetchAsync(client, 0, 0, [(0, 0)])).SessionId;

        Assert.Equal(ErrorCode.None, (await FetchAsync(client, session, 1, [])).ErrorCode);
        Assert.Equal(ErrorCode.InvalidFetchSessionEpoch, (await FetchAsync(client, session, 1, [])).ErrorCode);
        Assert.Equal(ErrorCode.InvalidFetchSessionEpoch, (await FetchAsync(client, session, 3, [])).ErrorCode);
        Assert.Equal(ErrorCode.None, (await FetchAsync(client, session, 2, [])).ErrorCode);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public async Task A_full_fetch_with_the_id_of_a_session_ends_it(int epoch)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        int session = (await FetchAsync(client, 0, 0, [(0, 0)])).SessionId;

        FetchResponse full = await FetchAsync(client, session, epoch, [(0, 0)]);

        Assert.NotEqual(session, full.SessionId);
        Assert.Equal(ErrorCode.FetchSessionIdNotFound, (await FetchAsync(client, session, 1, [])).ErrorCode);
    }

    [Fact]
    public void Sessions_are_bounded_and_the_one_unused_for_longest_gives_way_when_it_is_idle()
    {
        var time = new ManualTime();
        var sessions = new FetchSessions(time, new Random(1));
        int firstId = SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false))!.Id;
        for (int count = 1; count < FetchSessions.MaxSessionCount; count++)
        {
            Assert.NotNull(SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false)));
        }

        Assert.Null(SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false)));
        time.Advance(FetchSessions.MinIdleTimeForEviction);
        Assert.NotNull(SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false)));
        Assert.Equal(FetchSessions.MaxSessionCount, sessions.Count);
        Assert.Equal(
            new FetchContext.Refused(ErrorCode.FetchSessionIdNotFound), sessions.Begin(Request(firstId, 1, []), namesTopicsById: false));
    }

    [Fact]
    public void A_session_names_its_topics_in_one_way()
    {
        var sessions = new FetchSessions(new ManualTime(), new Random(1));
        int id = SessionOf(sessions.Begin(Request(0, 0, [(0, 0)]), namesTopicsById: false))!.Id;

        Assert.Equal(
            new FetchContext.Refused(ErrorCode.FetchSessionTopicIdError), sessions.Begin(Request(id, 1, []), namesTopicsById: true));
    }

    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 3);
        return broker;
    }

    private static FetchSession? SessionOf(FetchContext context) => Assert.IsType<FetchContext.Accepted>(context).Session;

    private static IEnumerable<int> Answered(FetchResponse response) =>
        response.Topics.SelectMany(topic => topic.Partitions).Select(partition => partition.Index);

    private static Task<FetchResponse> FetchAsync(
        TestClient client, int session, int epoch, (int Partition, long Offset)[] partitions, int[]? forgotten = null, int maxBytes = 1_000_000) =>
        client.SendAsync<FetchRequest, FetchResponse>(Request(session, epoch, partitions, forgotten, maxBytes), 12);

    private static FetchRequest Request(
        int session, int epoch, (int Partition, long Offset)[] partitions, int[]? forgotten = null, int maxBytes = 1_000_000) => new()
    {
        SessionId = session,
        SessionEpoch = epoch,
        MaxBytes = maxBytes,
        Topics =
        [
            new FetchTopic
            {
                Name = "orders",
                Partitions =
                [
                    .. partitions.Select(asked => new FetchPartition { Index = asked.Partition, FetchOffset = asked.Offset, MaxBytes = 1_000_000 }),
                ],
            },
        ],
        ForgottenTopics = forgotten is null ? [] : [new ForgottenTopic { Name = "orders", Partitions = [.. forgotten] }],
    };
}
