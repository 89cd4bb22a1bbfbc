using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class ProducerStatesTests
{
    private readonly LogHarness _harness = LogHarness.WithPartition(static options => options.MaximumProducerCount = 3);

    public enum Restart
    {
        None,
        Kill,
        Clean,
    }

    internal static void Do(LogHarness harness, Restart restart)
    {
        if (restart == Restart.None)
        {
            return;
        }

        if (restart == Restart.Clean)
        {
            harness.LogDirectory.Close();
        }

        harness.KillAndOpen();
        Assert.Equal(restart == Restart.Clean, harness.LogDirectory.Recovery.WasCleanStop);
    }

    [Theory]
    [InlineData(Restart.None)]
    [InlineData(Restart.Kill)]
    [InlineData(Restart.Clean)]
    public void The_last_five_batches_are_recognised_as_duplicates_and_older_ones_are_out_of_order(Restart restart)
    {
        for (int sequence = 0; sequence < 12; sequence += 2)
        {
            Assert.IsType<AppendResult.Appended>(Send(sequence, recordCount: 2));
        }

        Do(restart);

        for (int sequence = 2; sequence < 12; sequence += 2)
        {
            Assert.Equal(new AppendResult.Duplicate(new Offset(sequence), new Offset(sequence + 1), _harness.Log.LeaderEpoch), Send(sequence, recordCount: 2));
        }

        AssertRejected(AppendRejection.OutOfOrderSequence, Send(0, recordCount: 2));
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(10, recordCount: 1));
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(13, recordCount: 2));
        Assert.Equal(new Offset(12), _harness.Log.LogEndOffset);
        Assert.IsType<AppendResult.Appended>(Send(12, recordCount: 2));
    }

    [Theory]
    [InlineData(Restart.None)]
    [InlineData(Restart.Kill)]
    public void Sequences_wrap_from_their_largest_value_to_zero(Restart restart)
    {
        Assert.IsType<AppendResult.Appended>(Send(int.MaxValue - 1, recordCount: 3));
        Do(restart);
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(0));
        Assert.IsType<AppendResult.Appended>(Send(1));
        Assert.IsType<AppendResult.Duplicate>(Send(int.MaxValue - 1, recordCount: 3));
    }

    [Theory]
    [InlineData(Restart.None)]
    [InlineData(Restart.Kill)]
    public void A_new_epoch_begins_at_zero_and_fences_the_old(Restart restart)
    {
        Send(0);
        Send(1);
        AssertRejected(AppendRejection.OutOfOrderSequence, Send(2, epoch: 1));
        Assert.IsType<AppendResult.Appended>(Send(0, epoch: 1));
        Do(restart);
        AssertRejected(AppendRejection.InvalidProducerEpoch, Send(2));
        Assert.Equal(new AppendResult.Duplicate(new Offset(2), new Offset(2), _harness.Log.LeaderEpoch), Send(0, epoch: 1));
        Assert.IsType<AppendResult.Appended>(Send(1, epoch: 1));
    }

    [Fact]
    public void A_batch_of_an_old_epoch_is_no_duplicate_of_the_new()
    {
        Send(0);
        Send(0, epoch: 1);
        AssertRejected(AppendRejection.InvalidProducerEpoch, Send(0));
    }

    [Fact]
    public void A_producer_of_which_nothing_is_known_may_begin_anywhere() =>
        Assert.IsType<AppendResult.Appended>(Send(77));

    [Fact]
    public void Producers_without_id_are_not_remembered()
    {
        byte[] batch = LogHarness.Batch();
        _harness.Append([.. batch]);
        Assert.IsType<AppendResult.Appended>(_harness.Append([.. batch]));
    }

    [Theory]
    [InlineData(Restart.None)]
    [InlineData(Restart.Kill)]
    public void The_producer_that_was_silent_longest_is_forgotten_first(Restart restart)
    {
        Send(0, producerId: 1);
        Send(0, producerId: 2);
        Send(0, producerId: 3);
        Send(1, producerId: 1);
        Send(0, producerId: 4);
        Do(restart);
        Assert.IsType<AppendResult.Duplicate>(Send(1, producerId: 1));
        Assert.IsType<AppendResult.Appended>(Send(0, producerId: 2));
    }

    [Fact]
    public void Batches_of_one_append_are_checked_against_each_other()
    {
        byte[] first = LogHarness.Batch(producerId: 7, sequence: 0);
        byte[] second = LogHarness.Batch(producerId: 7, sequence: 1);
        byte[] third = LogHarness.Batch(producerId: 7, sequence: 2);
        AssertRejected(AppendRejection.OutOfOrderSequence, _harness.Append([.. first, .. third]));
        Assert.Equal(new AppendResult.Appended(new Offset(0), new Offset(1)), _harness.Append([.. first, .. second]));
        Assert.Equal(new AppendResult.Duplicate(new Offset(0), new Offset(1)), _harness.Append([.. first, .. second]));
        AssertRejected(AppendRejection.OutOfOrderSequence, _harness.Append([.. second, .. third]));
        Assert.Equal(2, _harness.ReadHeaders().Count);
    }

    [Fact]
    public void Producers_that_were_silent_for_so_long_by_the_clock_expire_whatever_their_records_say()
    {
        var states = new ProducerStates(maximumProducerCount: 10);
        var expiration = TimeSpan.FromMilliseconds(100);
        Observe(states, 0, LogHarness.Batch(producerId: 1, timestamp: 5));
        Observe(states, 1, LogHarness.Batch(producerId: 2, timestamp: 999_999));
        Observe(states, 2, LogHarness.Batch(producerId: 3, timestamp: 5, isTransactional: true));
        states.Expire(now: 1000, expiration);
        states.Expire(now: 1099, expiration);
        Assert.Equal(3, states.Count);
        Observe(states, 3, LogHarness.Batch(producerId: 1, sequence: 1, timestamp: 5));
        states.Expire(now: 1100, expiration);
        Assert.Equal([1, 3], states.ActiveProducers.Select(static producer => producer.Producer.Id));

        // An open transaction keeps its producer; once it has ended, its time begins.
        states.Expire(now: 9000, expiration);
        Assert.Equal([3], states.ActiveProducers.Select(static producer => producer.Producer.Id));
        Observe(states, 4, Marker(producerId: 3, isCommit: true));
        states.Expire(now: 9001, expiration);
        Assert.Equal(1, states.Count);
        states.Expire(now: 9101, expiration);
        Assert.Equal(0, states.Count);
    }

    [Fact]
    public void A_producer_with_an_open_transaction_is_never_forgotten()
    {
        var states = new ProducerStates(maximumProducerCount: 2);
        Observe(states, 0, LogHarness.Batch(producerId: 1, isTransactional: true));
        Observe(states, 1, LogHarness.Batch(producerId: 2));
        Observe(states, 2, LogHarness.Batch(producerId: 3));
        Observe(states, 3, LogHarness.Batch(producerId: 4));
        Assert.Equal([4, 1], states.ActiveProducers.Select(static producer => producer.Producer.Id));
    }

    [Fact]
    public void A_marker_ends_the_transaction_of_its_producer_and_tells_what_is_stable_then()
    {
        var states = new ProducerStates(maximumProducerCount: 10);
        Observe(states, 0, LogHarness.Batch(producerId: 1));
        Observe(states, 10, LogHarness.Batch(producerId: 1, sequence: 1, isTransactional: true));
        Observe(states, 11, LogHarness.Batch(producerId: 2, isTransactional: true));
        Observe(states, 12, LogHarness.Batch(producerId: 1, sequence: 2, isTransactional: true));
        Assert.Equal(new Offset(10), states.FirstOpenTransactionOffset);
        Assert.Equal(
            new CompletedTransaction(1, new Offset(10), new Offset(13), LastStableOffset: new Offset(11), IsCommitted: false),
            Observe(states, 13, Marker(producerId: 1, isCommit: false)));
        Assert.Null(Observe(states, 14, Marker(producerId: 1, isCommit: false)));
        Assert.Equal(
            new CompletedTransaction(2, new Offset(11), new Offset(15), LastStableOffset: new Offset(16), IsCommitted: true),
            Observe(states, 15, Marker(producerId: 2, isCommit: true)));
        Assert.Null(states.FirstOpenTransactionOffset);
    }

    private static CompletedTransaction? Observe(ProducerStates states, long offset, byte[] batch)
    {
        RecordBatch.Assign(batch, new Offset(offset), leaderEpoch: 0);
        return states.Observe(RecordBatchHeader.Read(batch), batch);
    }

    private static byte[] Marker(long producerId, bool isCommit, short epoch = 0) =>
        new EndTransactionMarker(isCommit, CoordinatorEpoch: 0).ToBatch(new ProducerIdentity(producerId, epoch), timestamp: 5).ToArray();

    private AppendResult Send(int sequence, int recordCount = 1, short epoch = 0, long producerId = 7) =>
        _harness.Append(LogHarness.Batch(recordCount, producerId, epoch, sequence));

    private void Do(Restart restart) => Do(_harness, restart);

    private static void AssertRejected(AppendRejection expected, AppendResult result) =>
        Assert.Equal(expected, Assert.IsType<AppendResult.Rejected>(result).Rejection);
}
