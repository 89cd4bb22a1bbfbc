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
            Assert.Equal(new AppendResult.Duplicate(new Offset(sequence), new Offset(sequence + 1)), Send(sequence, recordCount: 2));
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
        Assert.Equal(new AppendResult.Duplicate(new Offset(2), new Offset(2)), Send(0, epoch: 1));
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

    private AppendResult Send(int sequence, int recordCount = 1, short epoch = 0, long producerId = 7) =>
        _harness.Append(LogHarness.Batch(recordCount, producerId, epoch, sequence));

    private void Do(Restart restart)
    {
        if (restart == Restart.None)
        {
            return;
        }

        if (restart == Restart.Clean)
        {
            _harness.LogDirectory.Close();
        }

        _harness.KillAndOpen();
        Assert.Equal(restart == Restart.Clean, _harness.LogDirectory.Recovery.WasCleanStop);
    }

    private static void AssertRejected(AppendRejection expected, AppendResult result) =>
        Assert.Equal(expected, Assert.IsType<AppendResult.Rejected>(result).Rejection);
}
