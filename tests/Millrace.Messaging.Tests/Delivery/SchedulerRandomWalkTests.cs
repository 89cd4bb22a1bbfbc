using Millrace.Kafka;
using Millrace.Kafka.Records;
using static Millrace.Messaging.Tests.Records;

namespace Millrace.Messaging.Tests;

/// <summary>
/// Random walks over the scheduler: records come in, start, complete, fail and wait; partitions leave and come back from
/// what was committed. After every step the promises are checked against a model that knows nothing of lanes.
/// </summary>
public sealed class SchedulerRandomWalkTests
{
    [Fact]
    public void Random_walks_keep_every_promise()
    {
        for (int seed = 1; seed <= 200; seed++)
        {
            Walk walk = new(seed);
            try
            {
                walk.Run();
            }
            catch (Exception failure)
            {
                Assert.Fail($"Seed {seed}, step {walk.StepCount}: {failure.Message}\n{failure.StackTrace}");
            }
        }
    }

    [Fact]
    public void The_same_seed_walks_the_same_way()
    {
        Assert.Equal(Hash(7), Hash(7));
        Assert.NotEqual(Hash(7), Hash(8));

        static int Hash(int seed)
        {
            Walk walk = new(seed);
            walk.Run();
            return walk.EventHash;
        }
    }

    private sealed class Walk
    {
        private const int RecordCount = 80;
        private readonly Random _random;
        private readonly EndpointScheduler _scheduler;
        private readonly int _maxConcurrency;
        private readonly List<Shard> _shards = [];
        private readonly List<(Delivery Delivery, Shard Shard, int Incarnation)> _running = [];
        private TimeSpan _now;

        public Walk(int seed)
        {
            _random = new Random(seed);
            _maxConcurrency = _random.Next(1, 9);
            _scheduler = new EndpointScheduler(_maxConcurrency, maxQueuedRecords: 20, maxWindowRecords: 40);
            int keyCount = _random.Next(1, 12);
            for (int i = 0; i < 3; i++)
            {
                Shard shard = new(new TopicPartition("orders.events", i));
                long offset = 0;
                for (int j = 0; j < RecordCount; j++)
                {
                    // Gaps stand for control records and compaction.
                    offset += _random.Next(10) == 0 ? 3 : 1;
                    string? key = _random.Next(5) == 0 ? null : $"k{_random.Next(keyCount)}";
                    shard.Add(Record(offset, key, shard.Partition), key);
                }

                _shards.Add(shard);
                _scheduler.Add(shard.Partition);
            }
        }

        public int StepCount { get; private set; }

        public int EventHash { get; private set; } = 17;

        public void Run()
        {
            while (_shards.Exists(shard => !shard.IsDone))
            {
                StepCount++;
                if (StepCount > 200_000) throw new InvalidOperationException("The walk does not end.");
                Step();
                Check();
            }

            Assert.Empty(_running);
            foreach (Shard shard in _shards)
            {
                Assert.True(_scheduler.TryGet(shard.Partition, out Sequencer? sequencer));
                Assert.Equal(0, sequencer.WindowCount);
                Assert.Equal(0, sequencer.LaneCount);
                Assert.Equal(0, sequencer.IncompleteCount);
            }
        }

        private void Step()
        {
            int choice = _random.Next(100);
            if (choice < 30) Enqueue();
            else if (choice < 55) Start();
            else if (choice < 85) Finish();
            else if (choice < 90) Commit();
            else if (choice < 99) Advance();
            else if (StepCount < 5_000) Leave();
        }

        private void Enqueue()
        {
            Shard shard = _shards[_random.Next(_shards.Count)];
            switch (_scheduler.UpdateFlow(shard.Partition))
            {
                case FlowChange.Pause: shard.IsPaused = true; break;
                case FlowChange.Resume: shard.IsPaused = false; break;
            }

            if (shard.IsPaused || shard.Next == shard.Records.Count) return;
            Assert.True(_scheduler.Enqueue(shard.Records[shard.Next]));
            Note(1, shard, shard.Next);
            shard.Next++;
        }

        private void Start()
        {
            if (!_scheduler.TryStart(out Delivery? delivery)) return;
            Shard shard = _shards[delivery.Sequencer.TopicPartition.Partition];
            int index = shard.IndexOf(delivery.Offset);
            Note(2, shard, index);

            if (shard.IsCompleted(index)) Assert.Fail($"{delivery.Offset} of {shard.Partition} started again after it was completed.");
            string? key = shard.KeyOf(index);
            for (int i = shard.CommittedCount; key is not null && i < index; i++)
            {
                if (shard.KeyOf(i) == key && !shard.IsCompleted(i)) Assert.Fail($"{delivery.Offset} started before {shard.Records[i].Offset} of its key was done.");
            }

            _running.Add((delivery, shard, shard.Incarnation));
        }

        private void Finish()
        {
            if (_running.Count == 0) return;
            int position = _random.Next(_running.Count);
            (Delivery delivery, Shard shard, int incarnation) = _running[position];
            _running.RemoveAt(position);
            int index = shard.IndexOf(delivery.Offset);
            bool isStale = incarnation != shard.Incarnation;
            DeliveryOutcome outcome = isStale && _random.Next(2) == 0 ? DeliveryOutcome.Abandoned
                : _random.Next(4) == 0 ? new DeliveryOutcome.RetryAfter(TimeSpan.FromMilliseconds(_random.Next(1, 500)), delivery.Progress.Failed(DateTimeOffset.UnixEpoch))
                : DeliveryOutcome.Completed;
            Note(outcome is DeliveryOutcome.Complete ? 3 : 4, shard, index);
            _scheduler.Finish(delivery, outcome, _now);
            if (!isStale && outcome is DeliveryOutcome.Complete) shard.Complete(index);
        }

        private void Commit()
        {
            foreach (TopicPartitionOffset due in _scheduler.CommitsDue())
            {
                Shard shard = _shards[due.TopicPartition.Partition];
                shard.CommitUpTo(due.Offset);
                Assert.True(_scheduler.TryGet(due.TopicPartition, out Sequencer? sequencer));
                sequencer.MarkCommitted(due.Offset);
                Note(5, shard, shard.CommittedCount);
            }
        }

        private void Advance()
        {
            _now += TimeSpan.FromMilliseconds(_random.Next(1, 300));
            _scheduler.Advance(_now);
        }

        // The partition is lost without a commit and comes back: it goes on from what was committed.
        private void Leave()
        {
            Shard shard = _shards[_random.Next(_shards.Count)];
            Assert.True(_scheduler.Remove(shard.Partition));
            _scheduler.Add(shard.Partition);
            shard.Restart();
            Note(6, shard, shard.Next);
        }

        private void Check()
        {
            Assert.True(_running.Count <= _maxConcurrency);
            Assert.Equal(_running.Count, _scheduler.RunningCount);
            foreach (var lane in _running.Where(run => run.Incarnation == run.Shard.Incarnation).GroupBy(run => (run.Shard, run.Shard.KeyOf(run.Shard.IndexOf(run.Delivery.Offset)))))
                Assert.True(lane.Key.Item2 is null || lane.Count() == 1, "Two records of one key run at once.");
            foreach (Shard shard in _shards)
            {
                Assert.True(_scheduler.TryGet(shard.Partition, out Sequencer? sequencer));
                if (sequencer.Floor is not { } floor) continue;
                for (int i = shard.CommittedCount; i < shard.Next && shard.Records[i].Offset < floor; i++)
                {
                    if (!shard.IsCompleted(i)) Assert.Fail($"The floor {floor} of {shard.Partition} passed the incomplete {shard.Records[i].Offset}.");
                }
            }
        }

        private void Note(int kind, Shard shard, int index) =>
            EventHash = HashOf(HashOf(HashOf(EventHash, kind), shard.Partition.Partition), index);

        // Not HashCode, which differs from process to process.
        private static int HashOf(int hash, int value) => unchecked((hash * 31) + value);
    }

    private sealed class Shard(TopicPartition partition)
    {
        // Of this incarnation, above what was committed.
        private readonly HashSet<int> _completed = [];
        private readonly Dictionary<Offset, int> _indexes = [];
        private readonly List<string?> _keys = [];

        public TopicPartition Partition { get; } = partition;

        public List<ConsumerRecord> Records { get; } = [];

        public int Next { get; set; }

        public int CommittedCount { get; private set; }

        public int Incarnation { get; private set; }

        public bool IsPaused { get; set; }

        public bool IsDone => Next == Records.Count && Enumerable.Range(CommittedCount, Records.Count - CommittedCount).All(i => IsCompleted(i));

        public void Add(ConsumerRecord record, string? key)
        {
            _keys.Add(key);
            _indexes.Add(record.Offset, Records.Count);
            Records.Add(record);
        }

        public bool IsCompleted(int index) => index < CommittedCount || _completed.Contains(index);

        public void Complete(int index) => Assert.True(_completed.Add(index), "A record was completed twice.");

        public int IndexOf(Offset offset) => _indexes[offset];

        public string? KeyOf(int index) => _keys[index];

        public void CommitUpTo(Offset offset)
        {
            int count = Records.TakeWhile(record => record.Offset < offset).Count();
            Assert.True(count >= CommittedCount, "A commit went back.");
            Assert.All(Enumerable.Range(CommittedCount, count - CommittedCount), index => Assert.True(IsCompleted(index), "An incomplete record was committed."));
            CommittedCount = count;
        }

        public void Restart()
        {
            Incarnation++;
            IsPaused = false;
            Next = CommittedCount;
            _completed.Clear();
        }
    }
}
