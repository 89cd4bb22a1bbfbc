using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public sealed class FetchApiTests
{
    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(7)]
    [InlineData(11)]
    [InlineData(12)]
    public async Task Records_are_read_from_an_offset_on(short version)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"));
        await client.ProduceAsync("orders", Batches.Of("b"));

        FetchPartitionResponse fetched = await client.FetchAsync("orders", 1, version: version);

        Assert.Equal((ErrorCode.None, 2, 2), (fetched.ErrorCode, fetched.HighWatermark, fetched.LastStableOffset));
        Assert.Equal([(1, "b")], Batches.Read(fetched.Records));
        if (version >= 5)
        {
            Assert.Equal(0, fetched.LogStartOffset);
        }
    }

    [Theory]
    [InlineData("zstd", 9, ErrorCode.UnsupportedCompressionType)]
    [InlineData("zstd", 10, ErrorCode.None)]
    [InlineData("producer", 9, ErrorCode.None)]
    public async Task A_topic_of_zstd_is_not_read_by_clients_that_do_not_know_it(string compression, short version, ErrorCode expected)
    {
        await using TestBroker broker = await StartAsync();
        broker.Broker.Topics.SetSettings("orders", new Dictionary<string, string> { ["compression.type"] = compression });
        await using TestClient client = broker.Connect();

        Assert.Equal(expected, (await client.FetchAsync("orders", 0, version: version)).ErrorCode);
    }

    [Fact]
    public async Task A_fetch_at_the_end_waits_for_the_next_record()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        await using TestClient producer = broker.Connect();

        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 500));
        Assert.False(consumer.HasResponse);
        await producer.ProduceAsync("orders", Batches.Of("a"));

        Assert.Equal([(0, "a")], await ReceiveAsync(consumer));
    }

    [Fact]
    public async Task A_fetch_ends_empty_when_its_time_is_over()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();

        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 500));
        broker.Time.Advance(TimeSpan.FromMilliseconds(499));
        Assert.False(consumer.HasResponse);
        broker.Time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Empty(await ReceiveAsync(consumer));
    }

    [Fact]
    public async Task A_fetch_for_many_bytes_collects_records_until_there_are_enough()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        await using TestClient producer = broker.Connect();
        int batchByteCount = Batches.Of("0").Length;

        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 500, minBytes: 3 * batchByteCount));
        await producer.ProduceAsync("orders", Batches.Of("0"));
        await producer.ProduceAsync("orders", Batches.Of("1"), acks: 1);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > 0, "the fetch waits again");
        Assert.False(consumer.HasResponse);
        await producer.ProduceAsync("orders", Batches.Of("2"));

        Assert.Equal([(0, "0"), (1, "1"), (2, "2")], await ReceiveAsync(consumer));
    }

    [Fact]
    public async Task A_fetch_for_too_many_bytes_returns_what_came_in_its_time()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        await using TestClient producer = broker.Connect();

        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 500, minBytes: 1_000_000));
        await producer.ProduceAsync("orders", Batches.Of("a"));

        // The record has woken the fetch: its next wait may begin at any moment, with what is left of its time by then.
        await Conditions.BecomesTrueAsync(
            () =>
            {
                broker.Time.Advance(TimeSpan.FromMilliseconds(100));
                return consumer.HasResponse;
            },
            "the time of the fetch is over");

        Assert.Equal([(0, "a")], await ReceiveAsync(consumer));
    }

    [Fact]
    public async Task A_record_that_waits_for_the_disk_wakes_no_fetch()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        await using TestClient producer = broker.Connect();
        broker.Storage.CloseGate();

        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 500));
        await producer.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");
        Assert.False(consumer.HasResponse);

        broker.Storage.OpenGate();
        Assert.Equal([(0, "a")], await ReceiveAsync(consumer));
    }

    [Fact]
    public async Task A_partition_that_goes_offline_wakes_its_fetches_with_the_error()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        await using TestClient producer = broker.Connect();
        broker.Storage.FailsSyncs = true;

        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000));
        await producer.ProduceAsync("orders", Batches.Of("a"));

        (_, FetchResponse response) = await consumer.ReceiveAsync<FetchRequest, FetchResponse>(12);
        Assert.Equal(ErrorCode.KafkaStorageError, response.Topics[0].Partitions[0].ErrorCode);
    }

    [Fact]
    public async Task A_stop_answers_long_polls_at_once()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        await PollAsync(broker, consumer, TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 600_000));

        await broker.Broker.StopAsync().WaitAsync(TestClient.Patience);

        Assert.Empty(await ReceiveAsync(consumer));
        Assert.Equal(0, await consumer.CountResponsesUntilClosedAsync());
    }

    [Fact]
    public async Task Limits_are_kept_but_for_one_whole_batch()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        for (int batch = 0; batch < 4; batch++)
        {
            await client.ProduceAsync("orders", Batches.Of(new string((char)('a' + batch), 1000)));
        }

        async Task<int> CountAsync(int maxBytes, int partitionMaxBytes)
        {
            FetchRequest request = TestClientRequests.Fetch("orders", 0);
            request.MaxBytes = maxBytes;
            request.Topics[0].Partitions[0].MaxBytes = partitionMaxBytes;
            FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);
            return Batches.Read(response.Topics[0].Partitions[0].Records).Count;
        }

        Assert.Equal(4, await CountAsync(1_000_000, 1_000_000));
        Assert.Equal(2, await CountAsync(3_000, 1_000_000));
        Assert.Equal(2, await CountAsync(1_000_000, 3_000));
        Assert.Equal(1, await CountAsync(1, 1_000_000));
        Assert.Equal(1, await CountAsync(1_000_000, 0));
        Assert.Equal(1, await CountAsync(-5, -5));
    }

    [Fact]
    public async Task The_first_partition_with_records_gets_its_batch_and_the_others_what_is_left()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 3);
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of(new string('b', 1000)), partition: 1);
        await client.ProduceAsync("orders", Batches.Of(new string('c', 1000)), partition: 2);
        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.MaxBytes = 500;
        request.Topics[0].Partitions.Add(new FetchPartition { Index = 1, MaxBytes = 500 });
        request.Topics[0].Partitions.Add(new FetchPartition { Index = 2, MaxBytes = 500 });

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        Assert.Equal([0, 1, 0], response.Topics[0].Partitions.Select(partition => Batches.Read(partition.Records).Count));
        Assert.All(response.Topics[0].Partitions, partition => Assert.Equal(ErrorCode.None, partition.ErrorCode));
    }

    [Theory]
    [InlineData(-1, ErrorCode.OffsetOutOfRange)]
    [InlineData(0, ErrorCode.None)]
    [InlineData(1, ErrorCode.None)]
    [InlineData(2, ErrorCode.OffsetOutOfRange)]
    [InlineData(long.MaxValue, ErrorCode.OffsetOutOfRange)]
    public async Task An_offset_that_is_not_there_is_told_at_once(long offset, ErrorCode expected)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"));

        Assert.Equal(expected, (await client.FetchAsync("orders", offset, maxWaitMilliseconds: expected == ErrorCode.None ? 0 : 60_000)).ErrorCode);
    }

    [Fact]
    public async Task A_partition_that_is_not_there_is_told_at_once_beside_the_others()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        FetchRequest request = TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000);
        request.Topics[0].Partitions.Add(new FetchPartition { Index = 7, MaxBytes = 1000 });
        request.Topics.Add(new FetchTopic { Name = "nowhere", Partitions = [new FetchPartition { Index = 0 }] });

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        Assert.Equal(
            [ErrorCode.None, ErrorCode.UnknownTopicOrPartition, ErrorCode.UnknownTopicOrPartition],
            response.Topics.SelectMany(topic => topic.Partitions).Select(partition => partition.ErrorCode));
    }

    [Fact]
    public async Task Clients_of_another_leader_epoch_are_told_which_of_the_two_is_behind()
    {
        await using TestBroker broker = await StartAsync();
        await broker.CrashAndRestartAsync();
        int epoch = broker.Partition("orders").LeaderEpoch;
        Assert.True(epoch > 0);
        await using TestClient client = broker.Connect();

        async Task<ErrorCode> FetchWithEpochAsync(int claimed)
        {
            FetchRequest request = TestClientRequests.Fetch("orders", 0);
            request.Topics[0].Partitions[0].CurrentLeaderEpoch = claimed;
            return (await client.SendAsync<FetchRequest, FetchResponse>(request, 12)).Topics[0].Partitions[0].ErrorCode;
        }

        Assert.Equal(ErrorCode.None, await FetchWithEpochAsync(-1));
        Assert.Equal(ErrorCode.None, await FetchWithEpochAsync(epoch));
        Assert.Equal(ErrorCode.FencedLeaderEpoch, await FetchWithEpochAsync(epoch - 1));
        Assert.Equal(ErrorCode.UnknownLeaderEpoch, await FetchWithEpochAsync(epoch + 1));
    }

    [Theory]
    [InlineData(0, -1, ErrorCode.None)]
    [InlineData(77, -1, ErrorCode.None)]
    [InlineData(77, 1, ErrorCode.FetchSessionIdNotFound)]
    [InlineData(0, 5, ErrorCode.FetchSessionIdNotFound)]
    public async Task A_fetch_without_a_session_is_a_full_one(int sessionId, int epoch, ErrorCode expected)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.SessionId = sessionId;
        request.SessionEpoch = epoch;

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        Assert.Equal((expected, 0), (response.ErrorCode, response.SessionId));
    }

    [Fact]
    public async Task Topics_are_named_by_id_from_version_13_on()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"));
        FetchRequest request = TestClientRequests.Fetch("", 0);
        request.Topics[0].TopicId = broker.Partition("orders").TopicId;
        request.Topics.Add(new FetchTopic { TopicId = Guid.NewGuid(), Partitions = [new FetchPartition { MaxBytes = 1000 }] });

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 17);

        Assert.Equal(request.Topics.Select(topic => topic.TopicId), response.Topics.Select(topic => topic.TopicId));
        Assert.Equal([(0, "a")], Batches.Read(response.Topics[0].Partitions[0].Records));
        Assert.Equal(ErrorCode.UnknownTopicId, response.Topics[1].Partitions[0].ErrorCode);
    }

    [Fact]
    public async Task A_reader_of_committed_records_sees_what_is_decided_and_is_told_what_was_aborted()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        PartitionLog log = broker.Partition("orders");
        ProducerIdentity aborting = new(7, 0);
        ProducerIdentity committing = new(8, 0);
        ProducerIdentity open = new(9, 0);
        log.Append(Transactional(aborting, "0").Span, AppendDurability.PageCache);
        log.Append(Transactional(committing, "1").Span, AppendDurability.PageCache);
        log.AppendMarker(aborting, isCommit: false, coordinatorEpoch: 0);
        log.AppendMarker(committing, isCommit: true, coordinatorEpoch: 0);
        log.Append(Transactional(open, "4").Span, AppendDurability.PageCache);

        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.IsolationLevel = 1;
        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);
        FetchPartitionResponse committed = response.Topics[0].Partitions[0];

        Assert.Equal((5, 4), (committed.HighWatermark, committed.LastStableOffset));
        Assert.Equal([(7, 0)], committed.AbortedTransactions!.Select(aborted => (aborted.ProducerId, aborted.FirstOffset)));
        Assert.Equal(4, EndOf(committed));

        FetchPartitionResponse uncommitted = await client.FetchAsync("orders", 0);
        Assert.Null(uncommitted.AbortedTransactions);
        Assert.Equal(5, EndOf(uncommitted));
    }

    [Fact]
    public async Task A_reader_of_committed_records_is_told_only_of_what_was_aborted_among_those_that_it_gets()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        PartitionLog log = broker.Partition("orders");
        foreach (short epoch in new short[] { 0, 1, 2 })
        {
            ProducerIdentity aborting = new(7, epoch);
            log.Append(Transactional(aborting, "x").Span, AppendDurability.PageCache);
            log.AppendMarker(aborting, isCommit: false, coordinatorEpoch: 0);
        }

        // The second one has offsets 2 and 3. Were it told of the first, all that comes before a marker of the producer would be passed over.
        FetchRequest request = TestClientRequests.Fetch("orders", 2);
        request.IsolationLevel = 1;
        request.Topics[0].Partitions[0].MaxBytes = 200;
        FetchPartitionResponse answer = (await client.SendAsync<FetchRequest, FetchResponse>(request, 12)).Topics[0].Partitions[0];

        Assert.Equal(4, EndOf(answer));
        Assert.Equal([(7, 2)], answer.AbortedTransactions!.Select(aborted => (aborted.ProducerId, aborted.FirstOffset)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_was_aborted_among_the_records_of_a_fetch_is_told_also_where_their_segment_goes_while_it_waits(bool isCompacted)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        broker.Broker.Topics.SetSettings("orders", new Dictionary<string, string>
        {
            ["segment.bytes"] = "1048576",
            ["cleanup.policy"] = isCompacted ? "compact" : "delete",
            ["min.cleanable.dirty.ratio"] = "0",
        });
        PartitionLog log = broker.Partition("orders");
        ProducerIdentity aborting = new(7, 0);
        log.Append(Transactional(aborting, "aborted", key: "a").Span, AppendDurability.PageCache);
        log.AppendMarker(aborting, isCommit: false, coordinatorEpoch: 0);
        log.Append(Transactional(aborting, "b", key: "b", sequence: 1).Span, AppendDurability.PageCache);
        log.AppendMarker(aborting, isCommit: true, coordinatorEpoch: 0);
        for (int number = 0; number < 3; number++)
        {
            Assert.IsType<AppendResult.Appended>(log.Append(Transactional(new(8, 0), new string('x', 600_000), key: $"{number}", number).Span, AppendDurability.Disk));
        }

        log.AppendMarker(new(8, 0), isCommit: true, coordinatorEpoch: 0);
        log.WantSync();
        await Conditions.BecomesTrueAsync(() => log.SyncedOffset == new Offset(8), "all of it is on the disk");
        FetchRequest request = TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 100_000_000, minBytes: 20_000_000);
        request.IsolationLevel = 1;
        request.Topics[0].Partitions[0].MaxBytes = 20_000_000;
        await PollAsync(broker, consumer, request);

        long byteCount = log.LogByteCount;
        if (!isCompacted)
        {
            Assert.IsType<DeleteRecordsResult.Deleted>(log.DeleteRecords(new Offset(5)));
        }

        await broker.BecomesTrueWithTimeAsync(() => log.LogByteCount < byteCount, "the aborted record is gone");
        Assert.False(consumer.HasResponse);
        broker.Time.Advance(TimeSpan.FromMilliseconds(100_000_000));
        (_, FetchResponse response) = await consumer.ReceiveAsync<FetchRequest, FetchResponse>(12);
        FetchPartitionResponse answer = response.Topics[0].Partitions[0];
        Assert.Equal(8, EndOf(answer));
        Assert.Equal("aborted", Encoding.UTF8.GetString(RecordBatchReader.Read(answer.Records!.Value)[0].Value!.Value.Span));
        Assert.Equal([(7, 0)], answer.AbortedTransactions!.Select(aborted => (aborted.ProducerId, aborted.FirstOffset)));
    }

    [Theory]
    [InlineData(false, ErrorCode.UnknownTopicOrPartition)]
    [InlineData(true, ErrorCode.UnknownTopicId)]
    public async Task A_topic_that_is_deleted_before_it_is_read_is_unknown(bool isById, ErrorCode expected)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("a"));
        Topic topic = broker.Broker.Topics.Find("orders")!;
        FetchKey key = isById ? new FetchKey("", topic.Id, 0) : new FetchKey("orders", Guid.Empty, 0);
        FetchTarget target = new(key, new FetchPartition { MaxBytes = 1_000_000 });
        FetchOperation fetch = Operation(broker, target);

        Assert.IsType<TopicDeletion.Deleted>(broker.Broker.Topics.Delete(topic));
        fetch.ReadAvailable();

        FetchPartitionResponse answer = fetch.ToResponse(target);
        Assert.Equal((expected, 0), (answer.ErrorCode, answer.Records!.Value.Length));
    }

    [Fact]
    public async Task A_fetch_that_names_a_partition_many_times_waits_for_it_once()
    {
        await using TestBroker broker = await StartAsync();
        FetchTarget[] targets = [.. Enumerable.Range(0, 1000).Select(static _ => new FetchTarget(new FetchKey("orders", Guid.Empty, 0), new FetchPartition { MaxBytes = 100 }))];

        Assert.Equal([new TopicPartition("orders", 0)], Operation(broker, targets).Partitions);
    }

    [Fact]
    public async Task The_end_of_a_transaction_wakes_who_waits_for_committed_records()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient consumer = broker.Connect();
        PartitionLog log = broker.Partition("orders");
        ProducerIdentity producer = new(7, 0);
        log.Append(Transactional(producer, "a").Span, AppendDurability.PageCache);
        FetchRequest request = TestClientRequests.Fetch("orders", 0, maxWaitMilliseconds: 60_000);
        request.IsolationLevel = 1;
        await PollAsync(broker, consumer, request);

        log.AppendMarker(producer, isCommit: true, coordinatorEpoch: 0);

        (_, FetchResponse response) = await consumer.ReceiveAsync<FetchRequest, FetchResponse>(12);
        Assert.Equal(2, EndOf(response.Topics[0].Partitions[0]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task All_that_will_be_read_is_brought_into_memory_before_and_an_error_is_for_the_read_to_tell(bool failsColdReads)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        for (int batch = 0; batch < 3; batch++)
        {
            await client.ProduceAsync("orders", Batches.Of(new string('x', 300_000)));
        }

        broker.Storage.IsCold = true;
        broker.Storage.FailsColdReads = failsColdReads;
        FetchPartitionResponse fetched = await client.FetchAsync("orders", 0);

        Assert.Equal(3, Batches.Read(fetched.Records).Count);
        Assert.Equal(!failsColdReads, broker.Storage.ColdByteCount >= 900_000);
    }

    [Fact]
    public async Task Records_that_have_to_come_from_the_disk_are_read_all_the_same()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        for (int batch = 0; batch < 20; batch++)
        {
            await client.ProduceAsync("orders", Batches.Of(new string('x', 1_000)));
        }

        broker.Storage.IsCold = true;
        FetchPartitionResponse fetched = await client.FetchAsync("orders", 3);

        Assert.StartsWith("Millrace cold reader", broker.Storage.FirstColdReader, StringComparison.Ordinal);
        Assert.Equal(Enumerable.Range(3, 17).Select(offset => (long)offset), Batches.Read(fetched.Records).Select(record => record.Offset));
        using ColdRange? cold = broker.Partition("orders").FindCold(new Offset(3), 5_000);
        Assert.NotNull(cold);
        Assert.Null(broker.Partition("orders").FindCold(new Offset(19), 5_000));
        Assert.Null(broker.Partition("orders").FindCold(new Offset(20), 5_000));
    }

    [Fact]
    public async Task A_fetcher_whose_last_epoch_ended_earlier_is_told_where()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient producer = broker.Connect())
        {
            await producer.ProduceAsync("orders", Batches.Of("a"));
        }

        await broker.CrashAndRestartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("b"));
        FetchRequest request = TestClientRequests.Fetch("orders", 2, maxWaitMilliseconds: 60_000);
        request.Topics[0].Partitions[0].LastFetchedEpoch = broker.Partition("orders").LeaderEpoch - 1;

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        FetchPartitionResponse partition = response.Topics[0].Partitions[0];
        Assert.Equal((ErrorCode.None, 1), (partition.ErrorCode, partition.DivergingEpoch?.EndOffset));
        Assert.Empty(Batches.Read(partition.Records));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task Versions_of_older_formats_are_answered_with_an_error(short version)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.UnsupportedVersion, (await client.FetchAsync("orders", 0, maxWaitMilliseconds: 60_000, version: version)).ErrorCode);
    }

    [Fact]
    public async Task A_follower_is_not_served()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        FetchRequest request = TestClientRequests.Fetch("orders", 0);
        request.ReplicaId = 2;

        FetchResponse response = await client.SendAsync<FetchRequest, FetchResponse>(request, 12);

        Assert.Equal(ErrorCode.NotLeaderOrFollower, response.Topics[0].Partitions[0].ErrorCode);
    }

    private static Memory<byte> Transactional(ProducerIdentity producer, string value, string? key = null, int sequence = 0)
    {
        var builder = new RecordBatchBuilder();
        builder.Append(1_000, key is null ? null : (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(key), (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(value));
        return builder.Build(producer, sequence, isTransactional: true);
    }

    private static long EndOf(FetchPartitionResponse partition)
    {
        ReadOnlyMemory<byte> rest = partition.Records!.Value;
        RecordBatchHeader header = RecordBatchHeader.Read(rest.Span);
        while (header.TotalByteCount < rest.Length)
        {
            rest = rest[header.TotalByteCount..];
            header = RecordBatchHeader.Read(rest.Span);
        }

        return header.NextOffset.Value;
    }

    private static FetchOperation Operation(TestBroker broker, params FetchTarget[] targets)
    {
        FetchLimits limits = new(MinByteCount: 1, MaxByteCount: 1_000_000, IsReadCommitted: true, MinPieceByteCount: int.MaxValue);
        RequestContext context = new()
        {
            Header = new RequestHeader(ApiKey.Fetch, 12, 1, "test"),
            Connection = new ConnectionIdentity(1, "test", ConnectionIdentity.InMemoryHost, LocalEndPoint: null),
            Session = new ConnectionSession(services: null),
            Aborted = CancellationToken.None,
        };
        return new FetchOperation(targets, limits, broker.Broker.Topics, context, NullLogger.Instance);
    }

    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        return broker;
    }

    /// <summary>Sends a fetch and waits until it waits.</summary>
    private static async Task PollAsync(TestBroker broker, TestClient client, FetchRequest request)
    {
        int timers = broker.Time.PendingTimerCount;
        await client.PostAsync(request, 12);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > timers, "the fetch waits");
    }

    private static async Task<List<(long Offset, string Value)>> ReceiveAsync(TestClient client)
    {
        (_, FetchResponse response) = await client.ReceiveAsync<FetchRequest, FetchResponse>(12);
        FetchPartitionResponse partition = response.Topics[0].Partitions[0];
        Assert.Equal(ErrorCode.None, partition.ErrorCode);
        return Batches.Read(partition.Records);
    }
}
