using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed partial class RecordAccumulatorTests
{
    private static readonly TopicPartition Partition = new("orders", 0);

    private readonly FakeCluster _cluster = new();
    private RecordAccumulator _accumulator;
    private ProducerSettings _settings;
    private TimeSpan _elapsed;

    public RecordAccumulatorTests()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0 });
        _accumulator = Create();
    }

    private Moment Now => new(_elapsed, 1000);

    [Fact]
    public void Sequences_follow_the_order_of_calls()
    {
        Append(3);
        List<ProducerBatch> batches = DrainAll();
        Assert.Equal([0, 1, 2], batches.Select(batch => batch.BaseSequence));
        Assert.All(batches, batch => Assert.Equal(new ProducerIdentity(7, 0), batch.Identity));
    }

    [Fact]
    public void At_most_five_batches_of_a_partition_are_under_way()
    {
        Append(9);
        Assert.Equal(5, DrainAll().Count);
    }

    [Fact]
    public void Lost_answers_bring_the_batches_back_one_at_a_time_in_their_order_under_their_sequences()
    {
        Append(4);
        List<ProducerBatch> batches = DrainAll();

        // The answers are lost in reverse, which must not matter.
        foreach (ProducerBatch batch in Enumerable.Reverse(batches))
        {
            Settle(batch, ProduceVerdict.RetryPerhapsWritten);
        }

        for (int sequence = 0; sequence < 4; sequence++)
        {
            _elapsed += TimeSpan.FromSeconds(2);
            ProducerBatch retry = Assert.Single(DrainAll());
            Assert.Same(batches[sequence], retry);
            Assert.Equal(sequence, retry.BaseSequence);
            Settle(retry, ProduceVerdict.Written);
        }
    }

    [Fact]
    public void Nothing_new_leaves_before_a_retry_is_settled()
    {
        Append(1);
        ProducerBatch first = Assert.Single(DrainAll());
        Settle(first, ProduceVerdict.RetryNotWritten);
        Append(1);
        Assert.Empty(DrainAll());
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Same(first, Assert.Single(DrainAll()));
        Settle(first, ProduceVerdict.Written);
        Assert.Equal(1, Assert.Single(DrainAll()).BaseSequence);
    }

    [Fact]
    public void A_retry_waits_for_the_batches_that_left_after_it()
    {
        Append(2);
        List<ProducerBatch> batches = DrainAll();
        Settle(batches[0], ProduceVerdict.RetryPerhapsWritten);
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Empty(DrainAll());
        Settle(batches[1], ProduceVerdict.SequenceGap);
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Same(batches[0], Assert.Single(DrainAll()));
    }

    [Fact]
    public void Nobody_is_told_of_a_batch_before_those_of_an_older_one_that_has_to_be_sent_again()
    {
        Task<RecordMetadata>[] records = Append(3);
        List<ProducerBatch> batches = DrainAll();

        // All of them are written; the first one's answer is lost.
        Settle(batches[0], ProduceVerdict.RetryPerhapsWritten);
        Settle(batches[1], ProduceVerdict.Written);
        Settle(batches[2], ProduceVerdict.Written);
        Assert.All(records, static record => Assert.False(record.IsCompleted));
        _elapsed += TimeSpan.FromSeconds(2);
        Settle(Assert.Single(DrainAll()), ProduceVerdict.Duplicate);
        Assert.All(records, static record => Assert.True(record.IsCompletedSuccessfully));
    }

    [Fact]
    public async Task A_duplicate_counts_as_written()
    {
        Task<RecordMetadata> record = Append(1)[0];
        Settle(Assert.Single(DrainAll()), ProduceVerdict.Duplicate);
        Assert.Equal(new Offset(-1), (await record).Offset);
    }

    [Fact]
    public void A_refused_batch_leaves_a_hole_and_those_behind_it_start_anew_with_the_next_epoch()
    {
        Task<RecordMetadata>[] records = Append(3);
        List<ProducerBatch> batches = DrainAll();
        Settle(batches[0], ProduceVerdict.Refused, new InvalidOperationException("refused"));
        Settle(batches[1], ProduceVerdict.SequenceGap);

        // Not before the last sequence of the old epoch is settled.
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Empty(DrainAll());
        Settle(batches[2], ProduceVerdict.SequenceGap);
        _elapsed += TimeSpan.FromSeconds(2);
        ProducerBatch second = Assert.Single(DrainAll());
        Assert.Same(batches[1], second);
        Assert.Equal((new ProducerIdentity(7, 1), 0), (second.Identity, second.BaseSequence));
        Settle(second, ProduceVerdict.Written);
        ProducerBatch third = Assert.Single(DrainAll());
        Assert.Equal((new ProducerIdentity(7, 1), 1), (third.Identity, third.BaseSequence));
        Assert.True(records[0].IsFaulted);
    }

    [Fact]
    public void A_gap_before_a_batch_that_may_be_written_fails_it_rather_than_writing_it_twice()
    {
        Task<RecordMetadata> record = Append(1)[0];
        ProducerBatch batch = Assert.Single(DrainAll());
        Settle(batch, ProduceVerdict.RetryPerhapsWritten);
        _elapsed += TimeSpan.FromSeconds(2);
        Settle(Assert.Single(DrainAll()), ProduceVerdict.SequenceGap, new KafkaProducerStateException("unknown", Protocol.ErrorCode.OutOfOrderSequenceNumber));
        Assert.IsType<KafkaProducerStateException>(record.Exception!.InnerException);

        // What comes later goes on under a new epoch.
        Append(1);
        ProducerBatch next = Assert.Single(DrainAll());
        Assert.Equal((new ProducerIdentity(7, 1), 0), (next.Identity, next.BaseSequence));
    }

    [Fact]
    public void Behind_a_sequence_that_will_never_be_written_lost_answers_hide_nothing()
    {
        Append(3);
        List<ProducerBatch> batches = DrainAll();

        // The first is refused, so the broker cannot have taken the others, although their answers were lost before or after that.
        Settle(batches[2], ProduceVerdict.RetryPerhapsWritten);
        Settle(batches[0], ProduceVerdict.Refused, new InvalidOperationException("refused"));
        Settle(batches[1], ProduceVerdict.RetryPerhapsWritten);
        _elapsed += TimeSpan.FromSeconds(2);
        ProducerBatch second = Assert.Single(DrainAll());
        Assert.Same(batches[1], second);
        Assert.Equal((new ProducerIdentity(7, 1), 0), (second.Identity, second.BaseSequence));
        Settle(second, ProduceVerdict.Written);
        _elapsed += TimeSpan.FromSeconds(2);
        ProducerBatch third = Assert.Single(DrainAll());
        Assert.Same(batches[2], third);
        Assert.Equal((new ProducerIdentity(7, 1), 1), (third.Identity, third.BaseSequence));
    }

    [Fact]
    public void Behind_a_batch_whose_fate_is_unknown_the_old_sequence_is_tried_first()
    {
        Append(2);
        List<ProducerBatch> batches = DrainAll();
        Settle(batches[0], ProduceVerdict.RetryPerhapsWritten);
        Settle(batches[1], ProduceVerdict.RetryPerhapsWritten);
        _elapsed += _settings.DeliveryTimeout - TimeSpan.FromTicks(1);
        Append(1);
        ProducerBatch retry = Assert.Single(DrainAll());
        Assert.Same(batches[0], retry);
        Settle(retry, ProduceVerdict.RetryPerhapsWritten);
        Assert.Equal(1, batches[1].BaseSequence);
    }

    [Fact]
    public void A_gap_before_a_batch_that_was_never_written_renews_its_sequence()
    {
        Task<RecordMetadata> record = Append(1)[0];
        Settle(Assert.Single(DrainAll()), ProduceVerdict.UnknownProducer);
        _elapsed += TimeSpan.FromSeconds(2);
        ProducerBatch batch = Assert.Single(DrainAll());
        Assert.Equal((new ProducerIdentity(7, 1), 0), (batch.Identity, batch.BaseSequence));
        RecordBatchHeader header = RecordBatchHeader.Read(batch.Seal().Span);
        Assert.Equal(batch.Identity, header.Producer);
        Settle(batch, ProduceVerdict.Written);
        Assert.True(record.IsCompletedSuccessfully);
    }

    [Fact]
    public void A_patched_batch_keeps_a_right_checksum()
    {
        Append(1);
        ProducerBatch batch = Assert.Single(DrainAll());
        batch.Seal();
        Settle(batch, ProduceVerdict.UnknownProducer);
        _elapsed += TimeSpan.FromSeconds(2);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(Assert.Single(DrainAll()).Seal().Span, out RecordBatchHeader header));
        Assert.Equal(new ProducerIdentity(7, 1), header.Producer);
    }

    [Fact]
    public void A_stale_epoch_asks_for_a_new_producer_id()
    {
        Append(1);
        Settle(Assert.Single(DrainAll()), ProduceVerdict.StaleEpoch);
        _elapsed += TimeSpan.FromSeconds(2);
        var effects = new ProducerEffects();
        _accumulator.Drain(_cluster, Now, effects);
        Assert.True(effects.NeedsIdentity);
        _accumulator.SetIdentity(new ProducerIdentity(8, 0));
        Assert.Equal(new ProducerIdentity(8, 0), Assert.Single(DrainAll()).Identity);
    }

    [Fact]
    public void A_batch_that_ran_out_of_time_under_way_fails_at_once_and_its_late_success_closes_no_hole()
    {
        Task<RecordMetadata> record = Append(1)[0];
        ProducerBatch batch = Assert.Single(DrainAll());
        _elapsed += _settings.DeliveryTimeout;
        DrainAll();
        Assert.Contains("may or may not be written", Assert.IsType<KafkaTimeoutException>(record.Exception!.InnerException).Message, StringComparison.Ordinal);
        Assert.Equal(0, _accumulator.UsedByteCount);
        Settle(batch, ProduceVerdict.Written);
        Append(1);
        ProducerBatch next = Assert.Single(DrainAll());
        Assert.Equal((new ProducerIdentity(7, 0), 1), (next.Identity, next.BaseSequence));
    }

    [Fact]
    public void A_batch_that_ran_out_of_time_and_was_lost_leads_to_a_new_epoch()
    {
        Append(1);
        ProducerBatch batch = Assert.Single(DrainAll());
        _elapsed += _settings.DeliveryTimeout;
        DrainAll();
        Settle(batch, ProduceVerdict.RetryPerhapsWritten);
        Append(1);
        ProducerBatch next = Assert.Single(DrainAll());
        Assert.Equal((new ProducerIdentity(7, 1), 0), (next.Identity, next.BaseSequence));
    }

    [Fact]
    public void Batches_do_not_go_to_a_new_leader_before_the_old_one_has_answered()
    {
        Append(1);
        ProducerBatch first = Assert.Single(DrainAll());
        _cluster.LeaderId = 2;
        Append(1);
        Assert.Empty(DrainAll());
        Settle(first, ProduceVerdict.Written);
        Assert.Equal(2, Assert.Single(DrainAll()).NodeId);
    }

    [Fact]
    public void A_batch_leaves_when_it_is_full_or_has_lingered_or_is_flushed()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.FromMilliseconds(5), BatchByteCount = 300 });
        _accumulator = Create();
        Append(1);
        var effects = new ProducerEffects();
        _accumulator.Drain(_cluster, Now, effects);
        Assert.Empty(effects.Bundles);
        Assert.Equal(_elapsed + _settings.Linger, effects.WakeAt);
        _elapsed += _settings.Linger;
        Assert.Equal(1, Assert.Single(DrainAll()).RecordCount);

        Append(30);
        List<ProducerBatch> full = DrainAll();
        Assert.True(full.Count > 1);
        Assert.True(_accumulator.HasWork);
        _accumulator.FlushCount = 1;
        foreach (ProducerBatch batch in full)
        {
            Settle(batch, ProduceVerdict.Written);
        }

        DrainAll();
        Assert.Empty(_accumulator.Queue(Partition).Waiting);
    }

    [Fact]
    public async Task A_full_buffer_admits_records_in_the_order_of_their_calls_and_gives_up_those_that_wait_too_long()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, BufferByteCount = 2048, MaxRequestByteCount = 2048 });
        _accumulator = Create();
        Task<RecordMetadata>[] records = Append(4, byteCount: 700);
        List<ProducerBatch> first = DrainAll();
        Assert.Equal(2, first.Count);
        Settle(first[0], ProduceVerdict.Written);
        ProducerBatch third = Assert.Single(DrainAll());
        Assert.Equal(2, third.BaseSequence);
        records = [.. records, .. Append(1, byteCount: 700)];
        Assert.Equal(new Offset(0), (await records[0]).Offset);
        _elapsed += _settings.MaxBlock;
        Settle(first[1], ProduceVerdict.Written);
        DrainAll();
        Assert.IsType<KafkaTimeoutException>(records[4].Exception!.InnerException);
        Assert.False(records[3].IsFaulted);
    }

    [Fact]
    public void Keyless_records_stay_on_a_partition_for_a_batch_of_bytes_also_when_it_leaves_in_parts()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.FromSeconds(1), BatchByteCount = 1000, IsPartitioningAdaptive = false });
        _accumulator = Create();
        _cluster.PartitionCount = 8;
        Append(10, partition: null);
        _accumulator.FlushCount = 1;
        ProducerBatch first = Assert.Single(DrainAll());
        _accumulator.FlushCount = 0;
        Append(10, partition: null);
        ProducerBatch second = _accumulator.Queue(first.Partition).Open!;
        Assert.Equal((10, 10), (first.RecordCount, second.RecordCount));

        // Over a thousand bytes by now. The batch that is open is filled before the next partition begins.
        Append(30, partition: null);
        Assert.True(second.RecordCount > 15);
        Settle(first, ProduceVerdict.Written);
        _accumulator.FlushCount = 1;
        List<TopicPartition> partitions = [.. DrainAll().Select(batch => batch.Partition).Distinct()];
        Assert.Equal(2, partitions.Count);
        Assert.Contains(first.Partition, partitions);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Keyless_records_go_to_a_partition_with_a_long_line_less_often_if_that_is_wanted(bool isAdaptive)
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.FromHours(1), BatchByteCount = 0, DeliveryTimeout = TimeSpan.FromHours(2), IsPartitioningAdaptive = isAdaptive });
        _accumulator = Create();
        _cluster.PartitionCount = 3;
        Append(100, partition: 2);
        Append(300, partition: null);
        int[] counts = [.. Enumerable.Range(0, 3).Select(partition => _accumulator.Queue(Partition with { Partition = partition }).Waiting.Count)];
        Assert.Equal(400, counts.Sum());
        int added = counts[2] - 100;
        if (isAdaptive)
        {
            Assert.InRange(added, 1, 70);
        }
        else
        {
            Assert.InRange(added, 80, 120);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Keyless_records_avoid_a_broker_that_takes_nothing_if_that_is_wanted(bool isWanted)
    {
        TimeSpan timeout = TimeSpan.FromSeconds(2);
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, PartitionAvailabilityTimeout = isWanted ? timeout : TimeSpan.Zero });
        _accumulator = Create();
        _cluster.PartitionCount = 4;
        _cluster.LeaderIds = [1, 2, 2, 3];
        _cluster.Unreachable = 2;
        Append(1, partition: 1);
        DrainAll();

        // Not at once.
        _elapsed += timeout;
        Assert.True(AppendKeyless(100) > 0);
        _elapsed += TimeSpan.FromMilliseconds(1);
        Assert.Equal(isWanted, AppendKeyless(100) == 0);

        // All of them are as bad as one another.
        _cluster.Unreachable = null;
        _cluster.IsUnreachable = true;
        Append(1, partition: 0);
        Append(1, partition: 3);
        DrainAll();
        _elapsed += timeout + TimeSpan.FromMilliseconds(1);
        Assert.True(AppendKeyless(100) > 0);

        // What it has is taken: so it gets more.
        _cluster.IsUnreachable = false;
        foreach (ProducerBatch batch in DrainAll())
        {
            Settle(batch, ProduceVerdict.Written);
        }

        Assert.True(AppendKeyless(100) > 0);
    }

    [Fact]
    public void A_broker_that_answers_nothing_takes_nothing()
    {
        _settings = Settings(new ProducerOptions { Linger = TimeSpan.Zero, BatchByteCount = 0, PartitionAvailabilityTimeout = TimeSpan.FromSeconds(2) });
        _accumulator = Create();
        _cluster.PartitionCount = 3;
        _cluster.LeaderIds = [1, 2, 3];
        Append(1, partition: 1);
        Settle(Assert.Single(DrainAll()), ProduceVerdict.Written);
        Append(6, partition: 1);
        List<ProducerBatch> unanswered = DrainAll();
        Assert.Equal(5, unanswered.Count);
        _elapsed += TimeSpan.FromSeconds(3);
        Assert.Equal(0, AppendKeyless(100));

        foreach (ProducerBatch batch in unanswered)
        {
            Settle(batch, ProduceVerdict.Written);
        }

        DrainAll();
        Assert.True(AppendKeyless(100) > 0);
    }

    /// <summary>Appends, and says how many of the records are for broker 2.</summary>
    private int AppendKeyless(int count)
    {
        int before = WaitingForBroker2();
        Append(count, partition: null);
        return WaitingForBroker2() - before;
    }

    private int WaitingForBroker2() => Enumerable.Range(0, _cluster.PartitionCount).Where(partition => _cluster.LeaderOf(partition) == 2)
        .Sum(partition => _accumulator.Queue(Partition with { Partition = partition }).Waiting.Count);

    [Fact]
    public void What_a_partitioner_returns_is_brought_into_range()
    {
        _settings = Settings(new ProducerOptions { Partitioner = new Chooser(11) });
        _accumulator = Create();
        _cluster.PartitionCount = 4;
        Append(1, partition: null);
        Assert.Single(_accumulator.Queue(Partition with { Partition = 3 }).Waiting);
        _settings = Settings(new ProducerOptions { Partitioner = new Chooser(-1) });
        _accumulator = Create();
        Append(1, partition: null);
        Assert.Single(_accumulator.Queue(Partition with { Partition = 3 }).Waiting);
    }

    [Fact]
    public void Answers_that_overtake_one_another_are_told_in_order()
    {
        Task<RecordMetadata>[] records = Append(3);
        List<ProducerBatch> batches = DrainAll();
        Settle(batches[2], ProduceVerdict.Written);
        Settle(batches[1], ProduceVerdict.Written);
        Assert.DoesNotContain(records, record => record.IsCompleted);
        var order = new List<int>();
        for (int number = 0; number < records.Length; number++)
        {
            int captured = number;
            _ = records[number].ContinueWith(_ => order.Add(captured), TestContext.Current.CancellationToken, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        Settle(batches[0], ProduceVerdict.Written);
        Assert.Equal([0, 1, 2], order);
    }

    [Fact]
    public void A_batch_that_is_used_again_remembers_nothing()
    {
        Append(1);
        ProducerBatch batch = Assert.Single(DrainAll());
        byte[] first = batch.Seal().ToArray();
        Settle(batch, ProduceVerdict.Written);
        Task<RecordMetadata> record = Append(1, byteCount: 3)[0];
        ProducerBatch again = Assert.Single(DrainAll());
        Assert.Same(batch, again);
        Assert.Equal((1, 1, 1, false), (again.RecordCount, again.BaseSequence, again.AttemptCount, again.MayBeWritten));
        ReadOnlyMemory<byte> bytes = again.Seal();
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(bytes.Span, out RecordBatchHeader header));
        Assert.Equal((1, 1, first.Length - 7), (header.BaseSequence, header.RecordCount, bytes.Length));
        Settle(again, ProduceVerdict.Written);
        Assert.True(record.IsCompletedSuccessfully);
    }

    private static ProducerSettings Settings(ProducerOptions options) =>
        ProducerSettings.From(options, ClientSettings.From(new KafkaClientOptions()));

    private RecordAccumulator Create(TransactionState? transaction = null)
    {
        var chance = new Chance(new Random(1));
        var accumulator = new RecordAccumulator(_settings, new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), chance), chance, transaction);
        transaction?.SetIdentity(new ProducerIdentity(7, 0));
        transaction?.Begin(isVersion2: true);
        accumulator.SetIdentity(new ProducerIdentity(7, 0));

        // The broker knows the producer, so that several batches may leave at once.
        accumulator.Queue(Partition).LastWritten = (7, TimeSpan.Zero);
        return accumulator;
    }

    private Task<RecordMetadata>[] Append(int count, int? partition = 0, int byteCount = 10)
    {
        var tasks = new Task<RecordMetadata>[count];
        for (int i = 0; i < count; i++)
        {
            var recorder = new Recorder();
            int estimate = (int)RecordBatchBuilder.EstimateRecordByteCount(0, byteCount);
            var record = new SpanRecord(Partition.Topic) { Partition = partition, Value = new byte[byteCount] };
            _accumulator.Offer(record, source: null, estimate, new Delivery(recorder, 0), admissions: null, _cluster.Topic, Now, out _);
            tasks[i] = recorder.Task;
        }

        return tasks;
    }

    private List<ProducerBatch> DrainAll()
    {
        var batches = new List<ProducerBatch>();
        while (true)
        {
            var effects = new ProducerEffects();
            _accumulator.Drain(_cluster, Now, effects);
            Apply(effects);
            if (effects.Bundles.Count == 0)
            {
                return batches;
            }

            batches.AddRange(effects.Bundles.SelectMany(bundle => bundle.Batches));
        }
    }

    private void Settle(ProducerBatch batch, ProduceVerdict verdict, Exception? failure = null) => Apply(SettleUntold(batch, verdict, failure));

    private ProducerEffects SettleUntold(ProducerBatch batch, ProduceVerdict verdict, Exception? failure = null)
    {
        var effects = new ProducerEffects();
        _accumulator.EndRequest(batch.NodeId);
        _accumulator.Settle(batch, new ProduceAnswer(verdict, new Offset(batch.Ordinal), null, failure), Now, effects);
        return effects;
    }

    private void Apply(ProducerEffects effects)
    {
        while (_accumulator.TryTakeAnswer(out ProducerAnswer answer))
        {
            answer.Batch.Answer(answer.BaseOffset, answer.Timestamp, answer.Failure);
            _accumulator.EndAnswer(answer, Now, effects);
        }

        foreach ((WaitingRecord waiting, Exception failure) in effects.GivenUp)
        {
            waiting.Delivery.Handler!.OnDelivered(new DeliveryReport(Partition, new Offset(-1), null, failure, 0));
            _accumulator.EndWait(waiting);
        }
    }

    private sealed class Recorder : IDeliveryHandler
    {
        private readonly TaskCompletionSource<RecordMetadata> _completion = new();

        public Task<RecordMetadata> Task => _completion.Task;

        public void OnDelivered(in DeliveryReport report)
        {
            if (report.Failure is null)
            {
                _completion.SetResult(new RecordMetadata(report.TopicPartition, report.Offset, report.Timestamp));
            }
            else
            {
                _completion.SetException(report.Failure);
            }
        }
    }

    private sealed class Chooser(int partition) : IPartitioner
    {
        public int? Choose(in SpanRecord record, int partitionCount) => partition;
    }

    private sealed class FakeCluster : RecordAccumulator.ICluster
    {
        public int LeaderId { get; set; } = 1;

        /// <summary>Of each partition, where they have several.</summary>
        public int[]? LeaderIds { get; set; }

        /// <summary>The broker to which there is no connection.</summary>
        public int? Unreachable { get; set; }

        public bool IsUnreachable { get; set; }

        public bool HasLeader { get; set; } = true;

        public int PartitionCount { get; set; } = 1;

        public TopicDescription Topic => new(
            Partition.Topic,
            Guid.Empty,
            Protocol.ErrorCode.None,
            false,
            [.. Enumerable.Range(0, PartitionCount).Select(partition => new PartitionDescription(partition, LeaderOf(partition), 0, [], []))]);

        public bool TryGetLeader(TopicPartition partition, out int nodeId, out BrokerAddress address)
        {
            nodeId = LeaderOf(partition.Partition);
            address = new BrokerAddress("node", nodeId);
            return HasLeader;
        }

        public bool IsConnected(BrokerAddress address) => !IsUnreachable && address.Port != Unreachable;

        public int LeaderOf(int partition) => LeaderIds?[partition] ?? LeaderId;
    }
}
