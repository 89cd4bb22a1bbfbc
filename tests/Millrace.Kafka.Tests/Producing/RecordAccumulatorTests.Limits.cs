using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>What the accumulator does at its limits, and at those of others: batches that a broker finds too large, a line that is full, a partitioner that fails.</summary>
public sealed partial class RecordAccumulatorTests
{
    [Fact]
    public void Until_the_broker_knows_the_producer_a_batch_leaves_alone()
    {
        _accumulator.Queue(Partition).LastWritten = null;
        Append(4);

        // A broker that knows nothing of the producer would take the second one without the first.
        ProducerBatch first = Assert.Single(DrainAll());
        Settle(first, ProduceVerdict.RetryPerhapsWritten);
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Same(first, Assert.Single(DrainAll()));
        Settle(first, ProduceVerdict.Written);
        Assert.Equal([1, 2, 3], DrainAll().Select(batch => batch.BaseSequence));
    }

    [Fact]
    public void After_a_long_silence_a_batch_leaves_alone_since_the_broker_may_have_forgotten_the_producer()
    {
        Append(2);
        DrainAll().ForEach(batch => Settle(batch, ProduceVerdict.Written));
        _elapsed += TimeSpan.FromMinutes(11);
        Append(2);
        ProducerBatch first = Assert.Single(DrainAll());
        Settle(first, ProduceVerdict.Written);
        Assert.Equal(3, Assert.Single(DrainAll()).BaseSequence);
    }

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Gzip)]
    public async Task A_batch_that_is_too_large_is_sent_in_parts_in_its_order_under_its_sequences(CompressionCodec codec)
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 1000, Compression = codec });
        _accumulator = Create();
        Task<RecordMetadata>[] records = Append(20, byteCount: 50);
        List<ProducerBatch> batches = DrainAll();
        Assert.Equal([15, 5], batches.Select(batch => batch.RecordCount));
        batches.ForEach(batch => batch.Seal());
        Settle(batches[0], ProduceVerdict.TooLarge, new KafkaRecordTooLargeException("too large"));
        Settle(batches[1], ProduceVerdict.SequenceGap);
        var sent = new List<(int BaseSequence, int RecordCount)>();
        for (int i = 0; i < 3; i++)
        {
            _elapsed += TimeSpan.FromSeconds(2);
            ProducerBatch batch = Assert.Single(DrainAll());
            Assert.Equal(new ProducerIdentity(7, 0), batch.Identity);
            Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch.Seal().Span, out RecordBatchHeader header));
            Assert.Equal((batch.BaseSequence, batch.RecordCount, codec), (header.BaseSequence, header.RecordCount, header.Codec));
            sent.Add((batch.BaseSequence, batch.RecordCount));
            Assert.Equal(sent.Sum(part => part.RecordCount) - batch.RecordCount, records.Count(record => record.IsCompleted));
            Settle(batch, ProduceVerdict.Written);
        }

        Assert.Equal([(0, 7), (7, 8), (15, 5)], sent);
        await Task.WhenAll(records);
        Assert.Equal(0, _accumulator.UsedByteCount);

        // What comes later is no larger than the parts.
        Append(20, byteCount: 50);
        Assert.All(DrainAll(), batch => Assert.InRange(batch.RecordCount, 1, 10));
    }

    [Fact]
    public void Parts_of_a_batch_that_may_be_written_fail_rather_than_being_written_twice()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 300 });
        _accumulator = Create();
        Task<RecordMetadata>[] records = Append(2, byteCount: 50);
        ProducerBatch batch = Assert.Single(DrainAll());
        batch.Seal();
        Settle(batch, ProduceVerdict.RetryPerhapsWritten);
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Same(batch, Assert.Single(DrainAll()));
        Settle(batch, ProduceVerdict.TooLarge, new KafkaRecordTooLargeException("both"));

        // It was written by the first attempt, and the topic allows less since then.
        for (int i = 0; i < 2; i++)
        {
            ProducerBatch part = Assert.Single(DrainAll());
            Assert.Equal((i, 1, true), (part.BaseSequence, part.RecordCount, part.MayBeWritten));
            Settle(part, ProduceVerdict.SequenceGap, new KafkaProducerStateException("nobody knows", Protocol.ErrorCode.OutOfOrderSequenceNumber));
        }

        Assert.All(records, static record => Assert.IsType<KafkaProducerStateException>(record.Exception?.InnerException));
        Append(1);
        Assert.Equal(new ProducerIdentity(7, 1), Assert.Single(DrainAll()).Identity);
    }

    [Fact]
    public void A_part_of_one_record_that_is_too_large_fails_alone()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 300 });
        _accumulator = Create();
        Task<RecordMetadata>[] records = Append(2, byteCount: 50);
        ProducerBatch batch = Assert.Single(DrainAll());
        batch.Seal();
        Settle(batch, ProduceVerdict.TooLarge, new KafkaRecordTooLargeException("both"));
        ProducerBatch first = Assert.Single(DrainAll());
        first.Seal();
        Settle(first, ProduceVerdict.TooLarge, new KafkaRecordTooLargeException("one"));
        Assert.IsType<KafkaRecordTooLargeException>(records[0].Exception!.InnerException);
        ProducerBatch second = Assert.Single(DrainAll());
        Assert.Equal((new ProducerIdentity(7, 1), 0), (second.Identity, second.BaseSequence));
        Settle(second, ProduceVerdict.Written);
        Assert.True(records[1].IsCompletedSuccessfully);
    }

    [Fact]
    public void A_flush_waits_until_callers_have_been_told()
    {
        Append(1);
        ProducerBatch batch = Assert.Single(DrainAll());
        ProducerEffects effects = SettleUntold(batch, ProduceVerdict.Refused, new InvalidOperationException("refused"));
        Task untold = Assert.Single(_accumulator.Outstanding());
        Assert.False(untold.IsCompleted);
        Assert.True(_accumulator.TryTakeAnswer(out ProducerAnswer answer));
        Task beingTold = Assert.Single(_accumulator.Outstanding());
        Assert.False(beingTold.IsCompleted);
        _accumulator.EndAnswer(answer, Now, effects);
        Assert.True(untold.IsCompleted && beingTold.IsCompleted);
        Apply(effects);
        Assert.Empty(_accumulator.Outstanding());
    }

    [Fact]
    public void A_flush_waits_until_those_have_been_told_whose_records_came_into_no_batch()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 1024, MaxRequestByteCount = 1024 });
        _accumulator = Create();
        Append(2, byteCount: 600);
        ProducerBatch batch = Assert.Single(DrainAll());
        _elapsed += _settings.MaxBlock;
        var effects = new ProducerEffects();
        _accumulator.Drain(_cluster, Now, effects);
        (WaitingRecord waiting, _) = Assert.Single(effects.GivenUp);
        List<Task> outstanding = _accumulator.Outstanding();
        Assert.Equal(2, outstanding.Count);
        Settle(batch, ProduceVerdict.Written);
        Assert.Equal(1, outstanding.Count(task => task.IsCompleted));
        _accumulator.EndWait(waiting);
        Assert.All(outstanding, task => Assert.True(task.IsCompleted));
    }

    [Fact]
    public void A_partitioner_that_fails_for_a_record_that_waits_fails_that_record_alone()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 1024, MaxRequestByteCount = 1024, Partitioner = new FailsForLarge() });
        _accumulator = Create();
        Task<RecordMetadata>[] records = [.. Append(1, partition: null, byteCount: 480), .. Append(1, partition: null, byteCount: 500), .. Append(1, partition: null, byteCount: 400)];
        ProducerBatch first = Assert.Single(DrainAll());
        Settle(first, ProduceVerdict.Written);
        Assert.IsType<FormatException>(records[1].Exception!.InnerException!.InnerException);
        Settle(Assert.Single(DrainAll()), ProduceVerdict.Written);
        Assert.True(records[2].IsCompletedSuccessfully);
        Assert.Throws<InvalidOperationException>(() => Append(1, partition: null, byteCount: 500));
        Assert.Equal(0, _accumulator.UsedByteCount);
    }

    [Fact]
    public void Batches_of_small_records_take_as_much_of_the_buffer_as_they_are_made_of()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 4096, MaxRequestByteCount = 4096 });
        _accumulator = Create();
        Task<RecordMetadata>[] records = Append(10);
        Assert.Equal(4, _accumulator.Queue(Partition).Waiting.Count);
        while (DrainAll() is { Count: > 0 } batches)
        {
            Assert.InRange(_accumulator.UsedByteCount, 1, 4096);
            batches.ForEach(batch => Settle(batch, ProduceVerdict.Written));
        }

        Assert.All(records, record => Assert.True(record.IsCompletedSuccessfully));
        Assert.Equal(0, _accumulator.UsedByteCount);
    }

    [Fact]
    public void No_more_bytes_wait_for_the_buffer_than_it_holds()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 2048, MaxRequestByteCount = 2048 });
        _accumulator = Create();
        Append(6, byteCount: 600);
        Assert.Equal(RecordAccumulator.OfferResult.LineFull, Offer(600));
        Assert.Contains("2048", _accumulator.LineFull("orders").Message, StringComparison.Ordinal);

        // What leaves the line makes room in it.
        Settle(DrainAll()[0], ProduceVerdict.Written);
        Assert.Equal(RecordAccumulator.OfferResult.Waits, Offer(600));
    }

    [Fact]
    public void A_batch_of_much_memory_is_not_kept_for_the_next_use_however_well_it_was_compressed()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, Compression = CompressionCodec.Gzip });
        _accumulator = Create();
        ProducerBatch large = Send(byteCount: 500_000);
        ProducerBatch small = Send(byteCount: 10_000);
        Assert.NotSame(large, small);
        Assert.Same(small, Send(byteCount: 10_000));

        ProducerBatch Send(int byteCount)
        {
            Append(1, byteCount: byteCount);
            ProducerBatch batch = Assert.Single(DrainAll());
            Assert.InRange(batch.Seal().Length, 1, 1000);
            Settle(batch, ProduceVerdict.Written);
            return batch;
        }
    }

    [Fact]
    public void What_takes_the_space_of_batches_that_ran_out_of_time_is_looked_at_at_once()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 1024, MaxRequestByteCount = 1024 });
        _accumulator = Create();
        _cluster.HasLeader = false;
        Task<RecordMetadata> first = Append(1, byteCount: 600)[0];
        _elapsed += _settings.DeliveryTimeout - TimeSpan.FromSeconds(1);
        Append(1, byteCount: 600);
        _elapsed += TimeSpan.FromSeconds(1);
        var effects = new ProducerEffects();
        _accumulator.Drain(_cluster, Now, effects);
        Apply(effects);
        Assert.True(first.IsFaulted);
        Assert.True(effects.HasAdmitted);
        _cluster.HasLeader = true;
        Assert.Single(DrainAll());
    }

    [Fact]
    public void Records_whose_topic_comes_to_be_known_keep_their_place_among_those_that_wait()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 1024, MaxRequestByteCount = 1024 });
        _accumulator = Create();
        Append(1, byteCount: 600);
        var late = new Recorder();
        Assert.Equal(
            RecordAccumulator.OfferResult.TopicWanted,
            _accumulator.Offer(new SpanRecord("late") { Value = new byte[500] }, null, 540, new Delivery(late, 0), null, null, Now, out _));
        _elapsed += TimeSpan.FromSeconds(1);
        Task<RecordMetadata> after = Append(1, byteCount: 400)[0];
        Apply(Resolve("late"));
        _elapsed += _settings.MaxBlock - TimeSpan.FromSeconds(1);
        var effects = new ProducerEffects();
        _accumulator.Drain(_cluster, Now, effects);
        Apply(effects);
        Assert.True(late.Task.IsFaulted);
        Assert.False(after.IsFaulted);
    }

    [Fact]
    public void A_topic_that_is_not_found_in_time_fails_the_records_whose_own_time_is_over()
    {
        Recorder first = Await("late"), second = Await("late", TimeSpan.FromSeconds(59));
        var effects = new ProducerEffects();
        Assert.True(_accumulator.ExpireTopic("late", new InvalidOperationException("not found"), _settings.MaxBlock, effects));
        Apply(effects);
        Assert.True(first.Task.IsFaulted);
        Assert.False(second.Task.IsCompleted);
        effects.Clear();
        Assert.False(_accumulator.ExpireTopic("late", new InvalidOperationException("not found"), _elapsed + _settings.MaxBlock, effects));
        Apply(effects);
        Assert.True(second.Task.IsFaulted);
        Assert.False(_accumulator.HasWork);
    }

    [Fact]
    public void A_record_that_comes_after_an_abort_joins_the_look_up_that_is_under_way_and_has_its_own_time()
    {
        Recorder aborted = Await("late");
        var effects = new ProducerEffects();
        _accumulator.AbortUnsent(effects);
        Apply(effects);
        Assert.True(aborted.Task.IsFaulted);
        effects.Clear();
        Recorder next = Await("late", TimeSpan.FromSeconds(59), RecordAccumulator.OfferResult.Waits);
        Assert.True(_accumulator.ExpireTopic("late", new InvalidOperationException("not found"), _settings.MaxBlock, effects));
        Assert.Empty(effects.GivenUp);
        Apply(Resolve("late"));
        Assert.Single(DrainAll());
    }

    [Fact]
    public void Of_two_partitions_the_one_with_the_long_line_gets_little()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.FromHours(1), BatchByteCount = 0, DeliveryTimeout = TimeSpan.FromHours(2) });
        _accumulator = Create();
        _cluster.PartitionCount = 2;
        Append(100, partition: 1);
        Append(50, partition: null);
        Assert.InRange(_accumulator.Queue(Partition with { Partition = 1 }).Waiting.Count, 100, 110);
    }

    [Fact]
    public void A_transaction_whose_records_fail_with_the_producer_cannot_be_committed()
    {
        var transaction = new TransactionState("books");
        _accumulator = Create(transaction);
        Task<RecordMetadata> record = Append(1)[0];
        var effects = new ProducerEffects();
        _accumulator.FailAll(new InvalidOperationException("The loop failed."), effects);
        Apply(effects);
        Assert.True(record.IsFaulted);
        Assert.Equal(TransactionPhase.MustAbort, transaction.Phase);
    }

    [Fact]
    public void What_the_caller_does_to_the_headers_of_a_record_that_waits_is_not_written()
    {
        byte[] bytes = [1, 2];
        List<RecordHeader> headers = [new("first", bytes), new("second", null), new("third", ReadOnlyMemory<byte>.Empty)];
        var record = new SpanRecord("late") { Key = bytes, Value = bytes, Headers = headers };
        _accumulator.Offer(record, null, 100, new Delivery(new Recorder(), 0), null, null, Now, out _);
        bytes.AsSpan().Fill(9);
        headers.Clear();
        headers.Add(new RecordHeader("another", null));
        Apply(Resolve("late"));
        Records.Record written = Assert.Single(RecordBatchReader.Read(Assert.Single(DrainAll()).Seal(), int.MaxValue));
        Assert.Equal(["first", "second", "third"], written.Headers.Select(static header => header.Key));
        Assert.Equal([[1, 2], null, []], written.Headers.Select(static header => header.Value?.ToArray()));
    }

    [Fact]
    public void A_record_that_cannot_be_written_takes_nothing_of_the_buffer_and_leaves_no_batch()
    {
        var record = new SpanRecord(Partition.Topic) { Partition = 0, Value = new byte[10], Headers = new FailingHeaders() };
        try
        {
            _accumulator.Offer(record, null, 100, new Delivery(new Recorder(), 0), null, _cluster.Topic, Now, out _);
            Assert.Fail("The record has no headers that can be written.");
        }
        catch (FormatException)
        {
            // As it should be.
        }

        Assert.Empty(DrainAll());
        Settle(SendOne(), ProduceVerdict.Written);
        Assert.Equal(0, _accumulator.UsedByteCount);
        Assert.Empty(_accumulator.Outstanding());

        ProducerBatch SendOne()
        {
            Append(1);
            return Assert.Single(DrainAll());
        }
    }

    private sealed class FailingHeaders : IReadOnlyList<RecordHeader>
    {
        public int Count => 1;

        public RecordHeader this[int index] => throw new FormatException("No header.");

        public IEnumerator<RecordHeader> GetEnumerator() => throw new FormatException("No headers.");

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }

    private RecordAccumulator.OfferResult Offer(int byteCount) => _accumulator.Offer(
        new SpanRecord(Partition.Topic) { Partition = 0, Value = new byte[byteCount] },
        null,
        (int)RecordBatchBuilder.EstimateRecordByteCount(0, byteCount),
        new Delivery(new Recorder(), 0),
        null,
        _cluster.Topic,
        Now,
        out _);

    /// <summary>A record of a topic that is not known.</summary>
    private Recorder Await(string topic, TimeSpan after = default, RecordAccumulator.OfferResult? expected = null)
    {
        _elapsed += after;
        var recorder = new Recorder();
        RecordAccumulator.OfferResult result = _accumulator.Offer(new SpanRecord(topic) { Value = new byte[10] }, null, 50, new Delivery(recorder, 0), null, null, Now, out _);
        Assert.Equal(expected ?? (after == default ? RecordAccumulator.OfferResult.TopicWanted : RecordAccumulator.OfferResult.Waits), result);
        return recorder;
    }

    private ProducerEffects Resolve(string topic)
    {
        var effects = new ProducerEffects();
        _accumulator.ResolveTopic(_cluster.Topic with { Name = topic }, Now, effects);
        return effects;
    }

    private sealed class FailsForLarge : IPartitioner
    {
        public int? Choose(in SpanRecord record, int partitionCount) => record.Value.Length >= 500 ? throw new FormatException("No key.") : 0;
    }
}
