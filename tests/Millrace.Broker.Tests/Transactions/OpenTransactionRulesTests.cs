using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>The table of <see cref="OpenTransactionRules"/>, a test a row.</summary>
public sealed class OpenTransactionRulesTests
{
    private static readonly TopicPartition Orders = new("orders", 0);
    private static readonly ProducerIdentity Producer = new(7, 3);

    [Theory]
    [InlineData(false, OpenTransactionFate.Committed)]
    [InlineData(true, OpenTransactionFate.Committed)]
    internal void A_decision_that_covers_it_is_carried_out(bool isAfterPowerLoss, OpenTransactionFate fate)
    {
        TransactionState decision = State(TransactionStatus.PrepareCommit, end: 10);
        Assert.Equal((fate, Producer), Judge(9, new RecordedTransaction(decision, decision, []), isAfterPowerLoss));
    }

    [Fact]
    public void A_decision_is_carried_out_also_where_later_records_of_the_state_topic_were_kept_and_the_marker_lost()
    {
        TransactionState decision = State(TransactionStatus.PrepareCommit, end: 10);
        TransactionState complete = decision.Complete(timestamp: 1);
        TransactionState next = complete with { Status = TransactionStatus.Ongoing, Partitions = decision.Partitions };
        Assert.Equal((OpenTransactionFate.Committed, Producer), Judge(9, new RecordedTransaction(complete, decision, []), isAfterPowerLoss: true));
        Assert.Equal((OpenTransactionFate.Committed, Producer), Judge(9, new RecordedTransaction(next, decision, []), isAfterPowerLoss: true));
    }

    [Fact]
    public void A_transaction_that_began_behind_the_end_of_the_decision_is_a_later_one_and_given_up()
    {
        TransactionState decision = State(TransactionStatus.PrepareCommit, end: 10);
        (OpenTransactionFate fate, ProducerIdentity producer) = Judge(10, new RecordedTransaction(decision, decision, []), isAfterPowerLoss: true);
        Assert.Equal((OpenTransactionFate.GivenUp, Producer with { Epoch = 4 }), (fate, producer));
    }

    [Fact]
    public void A_transaction_that_began_in_a_later_epoch_than_the_decision_knew_is_a_later_one()
    {
        // The partition had lost what was decided about, and has other records at those offsets.
        TransactionState decision = State(TransactionStatus.PrepareAbort, end: 10);
        TransactionState next = decision.Complete(timestamp: 1) with { Status = TransactionStatus.Ongoing, Partitions = decision.Partitions };
        RecordedTransaction known = new(next, decision, []);
        Assert.Equal(OpenTransactionFate.Aborted, Judge(5, known, isAfterPowerLoss: false, leaderEpoch: 1).Fate);
        Assert.Equal(OpenTransactionFate.LeftOpen, Judge(5, known, isAfterPowerLoss: false, leaderEpoch: 2).Fate);
    }

    [Theory]
    [InlineData(9, OpenTransactionFate.Committed, 2)]
    [InlineData(10, OpenTransactionFate.Aborted, 3)]
    internal void Of_decisions_whose_markers_may_be_missing_the_oldest_counts_that_covers_it(long firstOffset, OpenTransactionFate fate, short epoch)
    {
        TransactionState earlier = State(TransactionStatus.PrepareCommit, end: 10) with { Producer = Producer with { Epoch = 2 } };
        TransactionState last = State(TransactionStatus.PrepareAbort, end: 20);
        RecordedTransaction known = new(last.Complete(timestamp: 1), last, [OwedMarkers.Of(earlier)]);
        Assert.Equal((fate, Producer with { Epoch = epoch }), Judge(firstOffset, known, isAfterPowerLoss: true));
    }

    [Theory]
    [InlineData(false, OpenTransactionFate.LeftOpen)]
    [InlineData(true, OpenTransactionFate.GivenUp)]
    internal void An_open_transaction_goes_on_where_nothing_is_lost_and_not_after_a_loss_of_power(bool isAfterPowerLoss, OpenTransactionFate fate)
    {
        TransactionState ongoing = State(TransactionStatus.Ongoing, end: -1);
        TransactionState abort = State(TransactionStatus.PrepareAbort, end: -1);
        Assert.Equal(fate, Judge(20, new RecordedTransaction(ongoing, Decision: null, []), isAfterPowerLoss).Fate);
        Assert.Equal(fate, Judge(20, new RecordedTransaction(ongoing, abort, []), isAfterPowerLoss).Fate);
    }

    [Fact]
    public void A_transaction_of_a_partition_that_the_coordinator_does_not_count_to_it_is_given_up()
    {
        TransactionState elsewhere = State(TransactionStatus.Ongoing, end: -1) with
        {
            Partitions = TransactionState.NoPartitions.Add(new TopicPartition("payments", 0), PartitionEnd.None),
        };
        Assert.Equal(OpenTransactionFate.GivenUp, Judge(20, new RecordedTransaction(elsewhere, Decision: null, []), isAfterPowerLoss: false).Fate);
    }

    [Theory]
    [InlineData(true, OpenTransactionFate.GivenUp)]
    [InlineData(false, OpenTransactionFate.LeftOpen)]
    internal void A_producer_of_which_nothing_is_known_is_given_up_only_where_everything_is_known(bool isEverythingKnown, OpenTransactionFate fate) =>
        Assert.Equal((fate, Producer), Judge(20, owner: null, isAfterPowerLoss: true, isEverythingKnown));

    private static (OpenTransactionFate Fate, ProducerIdentity Producer) Judge(
        long firstOffset, RecordedTransaction? owner, bool isAfterPowerLoss, bool isEverythingKnown = true, int leaderEpoch = 1)
    {
        OpenTransaction open = new(Producer, new Offset(firstOffset), LastTimestamp: 0, leaderEpoch);
        OpenTransactionVerdict verdict = OpenTransactionRules.Judge(open, Orders, owner, isAfterPowerLoss, isEverythingKnown);
        return (verdict.Fate, verdict.Producer);
    }

    private static TransactionState State(TransactionStatus status, long end) => TransactionState.New("id") with
    {
        Producer = Producer, Status = status, Partitions = TransactionState.NoPartitions.Add(Orders, end < 0 ? PartitionEnd.None : new PartitionEnd(new Offset(end), LeaderEpoch: 1)),
    };
}
