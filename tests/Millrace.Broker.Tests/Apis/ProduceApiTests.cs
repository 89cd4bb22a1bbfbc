using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

public sealed class ProduceApiTests
{
    private static readonly ProducerIdentity Producer = new(4711, 0);

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(11)]
    public async Task Batches_get_offsets_in_the_order_in_which_they_come(short version)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal((ErrorCode.None, 0L), Outcome(await client.ProduceAsync("orders", Batches.Of("a", "b"), version: version)));
        Assert.Equal((ErrorCode.None, 2L), Outcome(await client.ProduceAsync("orders", Batches.Of("c"), version: version, acks: 1)));
        Assert.Equal([(0, "a"), (1, "b"), (2, "c")], Batches.Read((await client.FetchAsync("orders", 0)).Records));
    }

    [Fact]
    public async Task With_acks_all_the_answer_leaves_after_the_sync_and_consumers_see_the_record_then()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await using TestClient consumer = broker.Connect();
        broker.Storage.CloseGate();

        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");

        // It is in the file, and it is neither acknowledged nor visible.
        Assert.Equal(1, broker.Partition("orders").LogEndOffset.Value);
        Assert.False(client.HasResponse);
        FetchPartitionResponse early = await consumer.FetchAsync("orders", 0);
        Assert.Equal((0, 0), (early.HighWatermark, early.Records!.Value.Length));

        broker.Storage.OpenGate();
        (_, ProduceResponse response) = await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal((ErrorCode.None, 0L), Outcome(response.Topics[0].Partitions[0]));
        Assert.Equal([(0, "a")], Batches.Read((await consumer.FetchAsync("orders", 0)).Records));
    }

    [Fact]
    public async Task With_acks_1_the_answer_waits_for_the_sync_that_flush_messages_asks_for()
    {
        await using TestBroker broker = await StartAsync();
        Assert.True(broker.Broker.Topics.SetSettings("orders", new Dictionary<string, string> { ["flush.messages"] = "2" }));
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();
        Assert.Equal((ErrorCode.None, 0L), Outcome(await client.ProduceAsync("orders", Batches.Of("a"), acks: 1)));

        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("b"), acks: 1), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");
        Assert.False(client.HasResponse);

        broker.Storage.OpenGate();
        (_, ProduceResponse response) = await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal((ErrorCode.None, 1L), Outcome(response.Topics[0].Partitions[0]));
    }

    [Fact]
    public async Task A_record_with_acks_1_behind_one_that_waits_for_the_disk_is_acknowledged_but_not_visible()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient first = broker.Connect();
        await using TestClient second = broker.Connect();

        Assert.Equal(0, (await second.ProduceAsync("orders", Batches.Of("seen"), acks: 1)).BaseOffset);
        Assert.Equal(1, (await second.FetchAsync("orders", 0)).HighWatermark);

        broker.Storage.CloseGate();
        await first.PostAsync(TestClientRequests.Produce("orders", Batches.Of("slow")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");
        Assert.Equal(2, (await second.ProduceAsync("orders", Batches.Of("fast"), acks: 1)).BaseOffset);
        Assert.Equal(1, (await second.FetchAsync("orders", 0)).HighWatermark);
        Assert.Equal([(0, "seen")], Batches.Read((await second.FetchAsync("orders", 0)).Records));

        broker.Storage.OpenGate();
        await first.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal(3, (await second.FetchAsync("orders", 0)).HighWatermark);
    }

    [Fact]
    public async Task With_acks_0_there_is_no_answer()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a"), acks: 0), 9);
        int next = await client.PostAsync(new ApiVersionsRequest(), 2);

        Assert.Equal(next, (await client.ReceiveAsync<ApiVersionsRequest, ApiVersionsResponse>(2)).CorrelationId);
        Assert.Equal(1, broker.Partition("orders").LogEndOffset.Value);
    }

    [Fact]
    public async Task With_acks_0_a_failure_closes_the_connection_after_what_was_answered_before()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        await client.PostAsync(new ApiVersionsRequest(), 2);
        await client.PostAsync(TestClientRequests.Produce("nowhere", Batches.Of("a"), acks: 0), 9);

        Assert.Equal(1, await client.CountResponsesUntilClosedAsync());
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2103 && line.Text.Contains("nowhere-0"));
    }

    [Fact]
    public async Task A_disk_slower_than_the_timeout_is_an_error_that_does_not_deny_the_append()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        int timers = broker.Time.PendingTimerCount;
        broker.Storage.CloseGate();

        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a"), timeoutMilliseconds: 1500), 9);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > timers, "the request waits for the disk");
        broker.Time.Advance(TimeSpan.FromMilliseconds(1499));
        Assert.False(client.HasResponse);
        broker.Time.Advance(TimeSpan.FromMilliseconds(1));

        (_, ProduceResponse response) = await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal((ErrorCode.RequestTimedOut, -1L), Outcome(response.Topics[0].Partitions[0]));
    }

    [Fact]
    public async Task A_sync_that_fails_is_told_and_takes_the_partition_offline()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        broker.Storage.FailsSyncs = true;

        ProducePartitionResponse failed = await client.ProduceAsync("orders", Batches.Of("a"));
        Assert.Equal((ErrorCode.KafkaStorageError, -1L), Outcome(failed));
        Assert.Contains("offline", failed.ErrorMessage);

        // Not retried as if nothing had happened, even if the disk has come to its senses.
        broker.Storage.FailsSyncs = false;
        Assert.Equal(ErrorCode.KafkaStorageError, (await client.ProduceAsync("orders", Batches.Of("b"), acks: 1)).ErrorCode);
        Assert.Equal(ErrorCode.KafkaStorageError, (await client.FetchAsync("orders", 0)).ErrorCode);
    }

    [Fact]
    public async Task A_topic_that_is_deleted_while_its_records_wait_for_the_disk_is_unknown()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await using TestClient other = broker.Connect();
        int timers = broker.Time.PendingTimerCount;
        broker.Storage.CloseGate();
        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Time.PendingTimerCount > timers, "the request waits for the disk");

        await other.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(new DeleteTopicsRequest { TopicNames = ["orders"] }, 5);
        (_, ProduceResponse response) = await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal((ErrorCode.UnknownTopicOrPartition, -1L), Outcome(response.Topics[0].Partitions[0]));
    }

    [Fact]
    public async Task A_duplicate_is_answered_with_its_first_offset_even_after_a_crash()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient client = broker.Connect())
        {
            await client.ProduceAsync("orders", Batches.Of("other"));
            Assert.Equal((ErrorCode.None, 1L), Outcome(await client.ProduceAsync("orders", Batches.Sequenced(Producer, 0, "a", "b"))));
            Assert.Equal((ErrorCode.None, 1L), Outcome(await client.ProduceAsync("orders", Batches.Sequenced(Producer, 0, "a", "b"))));
        }

        await broker.CrashAndRestartAsync();

        await using TestClient again = broker.Connect();
        Assert.Equal((ErrorCode.None, 1L), Outcome(await again.ProduceAsync("orders", Batches.Sequenced(Producer, 0, "a", "b"))));
        Assert.Equal(ErrorCode.OutOfOrderSequenceNumber, (await again.ProduceAsync("orders", Batches.Sequenced(Producer, 3, "d"))).ErrorCode);
        Assert.Equal((ErrorCode.None, 3L), Outcome(await again.ProduceAsync("orders", Batches.Sequenced(Producer, 2, "c"))));
        Assert.Equal([(0, "other"), (1, "a"), (2, "b"), (3, "c")], Batches.Read((await again.FetchAsync("orders", 0)).Records));
    }

    [Fact]
    public async Task A_duplicate_with_acks_all_waits_for_the_disk_like_its_original()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Sequenced(Producer, 0, "a"), acks: 1);
        broker.Storage.CloseGate();

        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Sequenced(Producer, 0, "a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the duplicate asks for a sync");
        Assert.False(client.HasResponse);

        broker.Storage.OpenGate();
        (_, ProduceResponse response) = await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal((ErrorCode.None, 0L), Outcome(response.Topics[0].Partitions[0]));
    }

    [Fact]
    public async Task An_older_epoch_of_a_producer_is_fenced()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Sequenced(Producer with { Epoch = 2 }, 0, "new"));

        Assert.Equal(ErrorCode.InvalidProducerEpoch, (await client.ProduceAsync("orders", Batches.Sequenced(Producer with { Epoch = 1 }, 0, "old"))).ErrorCode);
    }

    [Fact]
    public async Task Each_partition_of_a_request_has_its_own_fate()
    {
        await using TestBroker broker = await StartAsync();
        await broker.CreateTopicAsync("stock", 2);
        await using TestClient client = broker.Connect();
        var request = new ProduceRequest
        {
            Acks = -1,
            TimeoutMilliseconds = 30_000,
            Topics =
            [
                new ProduceTopic
                {
                    Name = "stock",
                    Partitions =
                    [
                        new ProducePartition { Index = 1, Records = Batches.Of("a") },
                        new ProducePartition { Index = 2, Records = Batches.Of("b") },
                        new ProducePartition { Index = -1, Records = Batches.Of("c") },
                    ],
                },
                new ProduceTopic { Name = "nowhere", Partitions = [new ProducePartition { Index = 0, Records = Batches.Of("d") }] },
                new ProduceTopic { Name = "__consumer_offsets", Partitions = [new ProducePartition { Index = 0, Records = Batches.Of("e") }] },
            ],
        };

        ProduceResponse response = await client.SendAsync<ProduceRequest, ProduceResponse>(request, 9);

        Assert.Equal(
            [ErrorCode.None, ErrorCode.UnknownTopicOrPartition, ErrorCode.UnknownTopicOrPartition, ErrorCode.UnknownTopicOrPartition, ErrorCode.InvalidTopic],
            response.Topics.SelectMany(topic => topic.Partitions).Select(partition => partition.ErrorCode));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Versions_of_older_formats_are_answered_with_an_error(short version)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.UnsupportedVersion, (await client.ProduceAsync("orders", Batches.Of("a"), version: version)).ErrorCode);
        Assert.Equal(0, broker.Partition("orders").LogEndOffset.Value);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(-2)]
    public async Task Acks_that_nobody_knows_are_refused(short acks)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.InvalidRequiredAcks, (await client.ProduceAsync("orders", Batches.Of("a"), acks: acks)).ErrorCode);
    }

    [Fact]
    public async Task Version_13_names_topics_by_their_ids()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Guid id = broker.Broker.Topics.Find("orders")!.Id;
        Guid unknown = new(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        ProduceRequest request = TestClientRequests.Produce("", Batches.Of("a"));
        request.Topics[0].TopicId = id;
        request.Topics.Add(new ProduceTopic { TopicId = unknown, Partitions = [new ProducePartition { Records = Batches.Of("b") }] });

        ProduceResponse response = await client.SendAsync<ProduceRequest, ProduceResponse>(request, 13);

        Assert.Equal([(id, ErrorCode.None), (unknown, ErrorCode.UnknownTopicId)], response.Topics.Select(topic => (topic.TopicId, topic.Partitions[0].ErrorCode)));
        Assert.Equal(1, broker.Partition("orders").LogEndOffset.Value);
    }

    [Fact]
    public async Task A_batch_for_a_topic_by_its_id_is_not_taken_by_another_that_is_made_meanwhile_under_its_name()
    {
        await using TestBroker broker = await StartAsync();
        await broker.CreateTopicAsync("payments");
        await using TestClient client = broker.Connect();
        TopicCatalog topics = broker.Broker.Topics;
        Topic payments = topics.Find("payments")!;
        ProduceRequest request = TestClientRequests.Produce("", Batches.Of("a"));
        request.Topics[0].TopicId = topics.Find("orders")!.Id;
        request.Topics.Add(new ProduceTopic { TopicId = payments.Id, Partitions = [new ProducePartition { Records = Batches.Of("b") }] });

        // While the batch before it is appended.
        broker.Storage.BeforeWrite = path =>
        {
            if (path.EndsWith("/orders-0/00000000000000000000.log", StringComparison.Ordinal))
            {
                broker.Storage.BeforeWrite = null;
                Assert.IsType<TopicDeletion.Deleted>(topics.Delete(payments));
                Assert.True(topics.FinishDeletion("payments"));
                Assert.IsType<TopicCreation.Created>(topics.Create("payments", 1));
            }
        };

        ProduceResponse response = await client.SendAsync<ProduceRequest, ProduceResponse>(request, 13);

        Assert.Null(broker.Storage.BeforeWrite);
        Assert.Equal([ErrorCode.None, ErrorCode.UnknownTopicOrPartition], response.Topics.Select(static topic => topic.Partitions[0].ErrorCode));
        Assert.Equal(0, broker.Partition("payments").LogEndOffset.Value);
    }

    public static TheoryData<string, byte[]?, ErrorCode> FaultyBatches()
    {
        byte[] good = Batches.Of("abc", "def").ToArray();
        return new TheoryData<string, byte[]?, ErrorCode>
        {
            { "none", null, ErrorCode.InvalidRecord },
            { "empty", [], ErrorCode.InvalidRecord },
            { "shorter than a header", good[..60], ErrorCode.CorruptMessage },
            { "cut", good[..^1], ErrorCode.CorruptMessage },
            { "a bit of a value flipped", Changed(good, good.Length - 2, 0x01), ErrorCode.CorruptMessage },
            { "format 1", Changed(good, 16, 2 ^ 1), ErrorCode.UnsupportedForMessageFormat },
            { "two batches", [.. good, .. good], ErrorCode.InvalidRecord },
            { "a tail", [.. good, 0], ErrorCode.InvalidRecord },
            { "control", Resealed(good, 22, 0x20), ErrorCode.InvalidRecord },
            { "transactional, without an id", Resealed(good, 22, 0x10), ErrorCode.TransactionalIdAuthorizationFailed },
            { "more records than offsets", Resealed(good, 26, 0x01), ErrorCode.InvalidRecord },
            { "more records than bytes for them", Resealed(Resealed(good, 24, 0x7f), 58, 0x7f), ErrorCode.InvalidRecord },
            { "a record that says it is longer than it is", Resealed(good, RecordBatchHeader.ByteCount, 0x40), ErrorCode.InvalidRecord },
            { "gzip that is none", Resealed(good, 22, 0x01), ErrorCode.InvalidRecord },
        };
    }

    [Theory]
    [MemberData(nameof(FaultyBatches))]
    public async Task A_faulty_batch_is_refused_and_nothing_is_written(string what, byte[]? batch, ErrorCode expected)
    {
        Assert.NotEmpty(what);
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        ProducePartitionResponse response = await client.ProduceAsync("orders", batch is null ? null : (ReadOnlyMemory<byte>?)batch);

        Assert.Equal((expected, -1L), Outcome(response));
        Assert.NotEmpty(response.ErrorMessage!);
        Assert.Equal(0, broker.Partition("orders").LogEndOffset.Value);
    }

    [Fact]
    public async Task A_batch_above_the_limit_is_too_large()
    {
        await using TestBroker broker = await StartAsync(options => options.MaxMessageByteCount = 1000);
        await using TestClient client = broker.Connect();

        Assert.Equal(ErrorCode.MessageTooLarge, (await client.ProduceAsync("orders", Batches.Of(new string('x', 1000)))).ErrorCode);
        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of(new string('x', 900)))).ErrorCode);
    }

    [Fact]
    public async Task Zstd_is_refused_to_versions_whose_clients_do_not_know_it()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        byte[] zstd = Resealed(Batches.Of("a").ToArray(), 22, (byte)CompressionCodec.Zstd);

        Assert.Equal(ErrorCode.UnsupportedCompressionType, (await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)zstd, version: 6)).ErrorCode);
    }

    [Theory]
    [InlineData(CompressionCodec.Gzip)]
    [InlineData(CompressionCodec.Snappy)]
    [InlineData(CompressionCodec.Lz4)]
    public async Task A_compressed_batch_passes_through_untouched_but_for_its_offset(CompressionCodec codec)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await client.ProduceAsync("orders", Batches.Of("first"));
        byte[] sent = Batches.Timed(ProducerIdentity.None, -1, codec, [(1, new string('x', 500)), (2, "y")]).ToArray();

        await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)sent.ToArray());

        byte[] fetched = (await client.FetchAsync("orders", 1)).Records!.Value.ToArray();
        Assert.Equal(sent[16..], fetched[16..]);
        Assert.Equal(1, RecordBatchHeader.Read(fetched).BaseOffset.Value);
    }

    [Fact]
    public async Task A_compressed_batch_that_is_too_large_or_damaged_is_not_opened()
    {
        await using TestBroker broker = await StartAsync(static options => options.MaxMessageByteCount = 1000);
        await using TestClient client = broker.Connect();
        string noise = string.Concat(Enumerable.Range(0, 2000));
        byte[] large = Batches.Timed(ProducerIdentity.None, -1, CompressionCodec.Gzip, [(1, noise)]).ToArray();
        byte[] small = Batches.Timed(ProducerIdentity.None, -1, CompressionCodec.Gzip, [(1, "a")]).ToArray();

        // Both have a checksum that agrees, and records that cannot be read: what is said first is what was looked at first.
        Assert.Equal(ErrorCode.MessageTooLarge, (await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)Resealed(large, 61, 0xFF))).ErrorCode);
        Assert.Equal(ErrorCode.InvalidRecord, (await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)Resealed(small, 61, 0xFF))).ErrorCode);
        Assert.Equal(ErrorCode.CorruptMessage, (await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)Changed(small, 61, 0xFF))).ErrorCode);
        Assert.Equal(Offset.Zero, broker.Partition("orders").LogEndOffset);
    }

    [Theory]
    [InlineData("delete")]
    [InlineData("compact")]
    public async Task A_small_batch_that_expands_beyond_the_bound_is_refused_with_a_reason(string cleanup)
    {
        await using TestBroker broker = await StartAsync();
        broker.Broker.Topics.SetSettings("orders", new Dictionary<string, string> { ["cleanup.policy"] = cleanup });
        await using TestClient client = broker.Connect();
        var builder = new RecordBatchBuilder(CompressionCodec.Gzip);
        builder.Append(1, (ReadOnlyMemory<byte>?)new byte[1], (ReadOnlyMemory<byte>?)new byte[Compression.DefaultMaximumDecompressedByteCount]);
        ReadOnlyMemory<byte> bomb = builder.Build(ProducerIdentity.None, -1);
        Assert.InRange(bomb.Length, 1, 1_000_000);

        ProducePartitionResponse refused = await client.ProduceAsync("orders", bomb);

        Assert.Equal(ErrorCode.InvalidRecord, refused.ErrorCode);
        Assert.Contains($"decompress to more than {Compression.DefaultMaximumDecompressedByteCount} bytes", refused.ErrorMessage);
    }

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Gzip)]
    public async Task Of_many_records_without_key_the_first_are_named(CompressionCodec codec)
    {
        await using TestBroker broker = await StartAsync();
        broker.Broker.Topics.SetSettings("orders", new Dictionary<string, string> { ["cleanup.policy"] = "compact" });
        await using TestClient client = broker.Connect();
        var builder = new RecordBatchBuilder(codec);
        for (int number = 0; number < 5000; number++)
        {
            builder.Append(1, number == 1 ? (ReadOnlyMemory<byte>?)new byte[1] : null, (ReadOnlyMemory<byte>?)new byte[1]);
        }

        ProducePartitionResponse refused = await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)builder.Build(ProducerIdentity.None, -1));

        Assert.Equal(ErrorCode.InvalidRecord, refused.ErrorCode);
        Assert.Equal([0, .. Enumerable.Range(2, 99)], refused.RecordErrors.Select(static error => error.BatchIndex));
    }

    [Theory]
    [InlineData("gzip", CompressionCodec.None, CompressionCodec.Gzip)]
    [InlineData("lz4", CompressionCodec.Gzip, CompressionCodec.Lz4)]
    [InlineData("snappy", CompressionCodec.Snappy, CompressionCodec.Snappy)]
    [InlineData("uncompressed", CompressionCodec.Lz4, CompressionCodec.None)]
    public async Task A_topic_may_want_its_batches_compressed_anew(string wanted, CompressionCodec sent, CompressionCodec stored)
    {
        await using TestBroker broker = await StartAsync(options => options.TopicDefaults = options.TopicDefaults with { Compression = CodecOf(wanted) });
        await using TestClient client = broker.Connect();
        ReadOnlyMemory<byte> batch = Batches.Timed(new ProducerIdentity(7, 0), 0, sent, [(1, new string('x', 500)), (2, "y")]);
        byte[] original = batch.ToArray();

        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", batch)).ErrorCode);
        Assert.Equal((ErrorCode.None, 0), Outcome(await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)original.ToArray())));

        byte[] fetched = (await client.FetchAsync("orders", 0)).Records!.Value.ToArray();
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(fetched, out RecordBatchHeader header));
        Assert.Equal((stored, 0), (header.Codec, header.BaseSequence));
        Assert.Equal(fetched.Length, header.TotalByteCount);
        Assert.Equal(TextsOf(original), TextsOf(fetched));
    }

    [Fact]
    public async Task A_damaged_batch_is_not_made_whole_by_compressing_it_anew()
    {
        await using TestBroker broker = await StartAsync(static options => options.TopicDefaults = options.TopicDefaults with { Compression = CompressionCodec.Lz4 });
        await using TestClient client = broker.Connect();
        byte[] batch = Batches.Of("a").ToArray();
        Assert.Equal(ErrorCode.CorruptMessage, (await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)Changed(batch, 64, 1))).ErrorCode);

        // A record that claims to be longer than it is, with a checksum that agrees.
        Assert.Equal(ErrorCode.InvalidRecord, (await client.ProduceAsync("orders", (ReadOnlyMemory<byte>?)Resealed(batch, 61, 0x40))).ErrorCode);
        Assert.Equal(Offset.Zero, broker.Partition("orders").LogEndOffset);
    }

    private static CompressionCodec CodecOf(string name) => name == "uncompressed" ? CompressionCodec.None : Enum.Parse<CompressionCodec>(name, ignoreCase: true);

    private static List<(long Time, string Text)> TextsOf(byte[] batch) =>
        [.. RecordBatchReader.Read(batch).Select(static record => (record.Timestamp, System.Text.Encoding.UTF8.GetString(record.Value!.Value.Span)))];

    private static Task<TestBroker> StartAsync(Action<BrokerOptions>? configure = null) => StartWithTopicAsync(configure);

    private static async Task<TestBroker> StartWithTopicAsync(Action<BrokerOptions>? configure)
    {
        TestBroker broker = await TestBroker.StartAsync(configure);
        await broker.CreateTopicAsync("orders");
        return broker;
    }

    private static (ErrorCode Error, long BaseOffset) Outcome(ProducePartitionResponse response) => (response.ErrorCode, response.BaseOffset);

    private static byte[] Changed(byte[] batch, int position, byte flip)
    {
        byte[] changed = [.. batch];
        changed[position] ^= flip;
        return changed;
    }

    /// <summary>Changed, with a checksum that agrees.</summary>
    private static byte[] Resealed(byte[] batch, int position, byte flip)
    {
        byte[] changed = Changed(batch, position, flip);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(changed.AsSpan(17), Crc32C.Compute(changed.AsSpan(21)));
        return changed;
    }
}
