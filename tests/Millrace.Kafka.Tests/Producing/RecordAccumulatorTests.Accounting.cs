using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Whatever becomes of records, each gives back of the buffer what it has taken, and is told of once, in the order of its partition.</summary>
public sealed partial class RecordAccumulatorTests
{
    private const int WalkPartitionCount = 3;
    private const int WalkStepCount = 400;

    private readonly ProduceOperationPool _admissions = new(null!);
    private readonly List<ProducerBatch> _sent = [];
    private readonly List<Walked> _walked = [];
    private readonly List<Walked> _told = [];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_record_is_told_of_once_in_its_order_and_gives_back_what_it_took(bool isTransactional)
    {
        for (int seed = 1; seed <= 300; seed++)
        {
            Walk(new Random(seed), seed, isTransactional ? new TransactionState("books") : null);
        }
    }

    private void Walk(Random random, int seed, TransactionState? transaction)
    {
        _settings = Settings(new ProducerOptions
        {
            Linger = TimeSpan.FromMilliseconds(random.Next(2) * 100),
            BatchByteCount = random.Next(3) * 700,
            BufferByteCount = 6000,
            MaxRequestByteCount = 4000,
            EnableIdempotence = transaction is not null || random.Next(4) > 0,
            DeliveryTimeout = TimeSpan.FromSeconds(40),
            MaxBlock = TimeSpan.FromSeconds(10),
        });
        _accumulator = Create(transaction);
        _cluster.PartitionCount = WalkPartitionCount;
        _sent.Clear();
        _walked.Clear();
        _told.Clear();
        for (int step = 0; step < WalkStepCount; step++)
        {
            Step(random, transaction);
            AssertAccounts(seed);
        }

        // The end of the producer: what is under way is answered after everybody has been told.
        var effects = new ProducerEffects();
        _accumulator.FailAll(new KafkaClosedException("closed"), effects);
        Tell(effects);
        while (_sent.Count > 0)
        {
            SettleOne(random);
        }

        Assert.Equal(0, _accumulator.UsedByteCount);
        Assert.All(_walked, walked => Assert.Equal(1, walked.TellCount));
        for (int partition = 0; partition < WalkPartitionCount; partition++)
        {
            // Those that never came into a batch are told when they are given up, whatever is under way.
            IEnumerable<int> inBatches = _told.Where(walked => walked.Partition == partition).Select(walked => walked.Number);
            Assert.Equal(inBatches.Order(), inBatches);
        }
    }

    private void Step(Random random, TransactionState? transaction)
    {
        if (transaction?.Phase == TransactionPhase.MustAbort && random.Next(5) == 0)
        {
            Abort(random, transaction);
        }

        _elapsed += TimeSpan.FromMilliseconds(random.Next(10) == 0 ? random.Next(8000) : random.Next(50));
        _accumulator.FlushCount = random.Next(4) == 0 ? 1 : 0;
        _cluster.HasLeader = random.Next(10) > 0;
        switch (random.Next(10))
        {
            case < 5 when transaction is null or { Phase: TransactionPhase.Open }:
                OfferOne(random);
                break;
            case < 7:
                DrainOnce();
                break;
            case 7 when random.Next(30) == 0 && transaction is not null:
                Abort(random, transaction);
                break;
            case 7 when random.Next(30) == 0:
                var effects = new ProducerEffects();
                _accumulator.AbortUnsent(effects);
                Tell(effects);
                break;
            case 7 when random.Next(3) == 0 && _walked.FindLast(static walked => walked.Admission?.Waiting is not null) is { Admission.Waiting: { } waiting } walked:
                var taken = new ProducerEffects();
                Assert.True(_accumulator.TakeBack(waiting, Now, taken));
                walked.GiveUp();
                Tell(taken);
                break;
            default:
                SettleOne(random);
                break;
        }
    }

    private void Abort(Random random, TransactionState transaction)
    {
        transaction.BeginAbort();
        var effects = new ProducerEffects();
        _accumulator.AbortUnsent(effects);
        Tell(effects);
        Task idle = _accumulator.WhenNothingIsUnderWay();
        while (_sent.Count > 0)
        {
            Assert.False(idle.IsCompleted);
            SettleOne(random);
        }

        Assert.True(idle.IsCompleted);
        Assert.Equal(0, _accumulator.UsedByteCount);
        ProducerIdentity next = transaction.Identity with { Epoch = (short)(transaction.Identity.Epoch + 1) };
        _accumulator.Restart(next);
        transaction.End(next);
        transaction.Begin(isVersion2: true);
    }

    private void OfferOne(Random random)
    {
        int byteCount = random.Next(5) == 0 ? random.Next(3000) : random.Next(200);
        var walked = new Walked(this, _walked.Count, random.Next(WalkPartitionCount), random.Next(20) == 0);
        var record = new SpanRecord(Partition.Topic) { Partition = walked.Partition, Value = new byte[byteCount] };
        RecordAccumulator.OfferResult result = _accumulator.Offer(
            record,
            null,
            (int)RecordBatchBuilder.EstimateRecordByteCount(0, byteCount),
            new Delivery(walked, 0),
            random.Next(2) == 0 ? _admissions : null,
            _cluster.Topic,
            Now,
            out ProduceOperation? admission);
        if (result != RecordAccumulator.OfferResult.LineFull)
        {
            _walked.Add(walked);
            walked.Admission = admission;
        }
    }

    private void DrainOnce()
    {
        var effects = new ProducerEffects();
        _accumulator.Drain(_cluster, Now, effects);
        foreach (ProducerBatch batch in effects.Bundles.SelectMany(static bundle => bundle.Batches))
        {
            batch.Seal();
            _sent.Add(batch);
        }

        // Of a request all batches are settled at once; here, each by itself.
        foreach (ProduceBundle bundle in effects.Bundles)
        {
            _accumulator.EndRequest(bundle.NodeId);
        }

        Tell(effects);
    }

    private void SettleOne(Random random)
    {
        if (_sent.Count == 0)
        {
            return;
        }

        ProducerBatch batch = _sent[random.Next(_sent.Count)];
        _sent.Remove(batch);
        ProduceVerdict verdict = random.Next(2) == 0 ? ProduceVerdict.Written : (ProduceVerdict)random.Next((int)ProduceVerdict.Refused + 1);
        var effects = new ProducerEffects();
        _accumulator.Settle(batch, new ProduceAnswer(verdict, new Offset(batch.Ordinal), null, new KafkaBrokerException($"{verdict}", Protocol.ErrorCode.None)), Now, effects);
        if (_accumulator.Identity.IsNone)
        {
            _accumulator.SetIdentity(new ProducerIdentity(random.Next(8, 1000), 0));
        }

        Tell(effects);
    }

    private void Tell(ProducerEffects effects)
    {
        while (_accumulator.TryTakeAnswer(out ProducerAnswer answer))
        {
            answer.Batch.Answer(answer.BaseOffset, answer.Timestamp, answer.Failure);
            _accumulator.EndAnswer(answer, Now, effects);
        }

        foreach ((WaitingRecord waiting, Exception failure) in effects.GivenUp)
        {
            Assert.NotNull(failure);
            ((Walked)waiting.Delivery.Handler!).GiveUp();
            _accumulator.EndWait(waiting);
        }
    }

    private void AssertAccounts(int seed)
    {
        long held = 0;
        for (int partition = 0; partition < WalkPartitionCount; partition++)
        {
            PartitionQueue queue = _accumulator.Queue(Partition with { Partition = partition });
            held += queue.InFlight.Where(static batch => !batch.IsAnswered).Sum(static batch => batch.ReservedByteCount);
            held += queue.Waiting.Sum(static batch => batch.ReservedByteCount);
            held += queue.Answers.Sum(static answer => answer.Batch.ReservedByteCount);
        }

        Assert.True(held == _accumulator.UsedByteCount, $"With seed {seed}, {held} bytes are in batches, and {_accumulator.UsedByteCount} are counted.");
    }

    /// <summary>A record of the walk, and what became of it.</summary>
    private sealed class Walked(RecordAccumulatorTests owner, int number, int partition, bool fails) : IDeliveryHandler
    {
        public int Number => number;

        public int Partition => partition;

        public int TellCount { get; set; }

        public bool IsGivenUp { get; private set; }

        /// <summary>What knows its place in the line, while it has one.</summary>
        public ProduceOperation? Admission { get; set; }

        public void GiveUp()
        {
            TellCount++;
            IsGivenUp = true;
        }

        public void OnDelivered(in DeliveryReport report)
        {
            TellCount++;
            owner._told.Add(this);
            if (fails)
            {
                throw new InvalidOperationException("The handler failed.");
            }
        }
    }
}
