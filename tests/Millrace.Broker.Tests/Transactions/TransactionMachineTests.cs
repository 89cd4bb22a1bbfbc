using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Broker.Tests.MachineHarness;

namespace Millrace.Broker.Tests;

public sealed class TransactionMachineTests
{
    // Each row: the state before, the request, the error, and the status after it. "old" has the epoch before, "other" another id.
    [Theory]
    [InlineData("Empty", "add", ErrorCode.None, TransactionStatus.Ongoing)]
    [InlineData("Empty", "add old", ErrorCode.ProducerFenced, TransactionStatus.Empty)]
    [InlineData("Empty", "add other", ErrorCode.InvalidProducerIdMapping, TransactionStatus.Empty)]
    [InlineData("Empty", "verify", ErrorCode.TransactionAbortable, TransactionStatus.Empty)]
    [InlineData("Empty", "commit", ErrorCode.InvalidTxnState, TransactionStatus.Empty)]
    [InlineData("Empty", "abort", ErrorCode.InvalidTxnState, TransactionStatus.Empty)]
    [InlineData("Empty", "commit raising", ErrorCode.InvalidTxnState, TransactionStatus.Empty)]
    [InlineData("Empty", "abort raising", ErrorCode.None, TransactionStatus.CompleteAbort)]
    [InlineData("Empty", "init", ErrorCode.None, TransactionStatus.Empty)]
    [InlineData("Empty", "init known", ErrorCode.None, TransactionStatus.Empty)]
    [InlineData("Empty", "init old", ErrorCode.ProducerFenced, TransactionStatus.Empty)]
    [InlineData("Empty", "init other", ErrorCode.ProducerFenced, TransactionStatus.Empty)]
    [InlineData("Ongoing", "add", ErrorCode.None, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "add payments", ErrorCode.None, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "add old", ErrorCode.ProducerFenced, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "verify", ErrorCode.None, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "verify payments", ErrorCode.TransactionAbortable, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "verify old", ErrorCode.ProducerFenced, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "commit", ErrorCode.None, TransactionStatus.CompleteCommit)]
    [InlineData("Ongoing", "abort", ErrorCode.None, TransactionStatus.CompleteAbort)]
    [InlineData("Ongoing", "commit raising", ErrorCode.None, TransactionStatus.CompleteCommit)]
    [InlineData("Ongoing", "commit old", ErrorCode.ProducerFenced, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "commit other", ErrorCode.InvalidProducerIdMapping, TransactionStatus.Ongoing)]
    [InlineData("Ongoing", "init", ErrorCode.ConcurrentTransactions, TransactionStatus.CompleteAbort)]
    [InlineData("Ongoing", "init known", ErrorCode.ConcurrentTransactions, TransactionStatus.CompleteAbort)]
    [InlineData("Ongoing", "init old", ErrorCode.ProducerFenced, TransactionStatus.Ongoing)]
    [InlineData("Syncing", "add", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Syncing", "verify", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Syncing", "commit", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Syncing", "abort", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Syncing", "init", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Deciding", "add", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Deciding", "commit", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Deciding", "init", ErrorCode.ConcurrentTransactions, TransactionStatus.Ongoing)]
    [InlineData("Marking", "add", ErrorCode.ConcurrentTransactions, TransactionStatus.PrepareCommit)]
    [InlineData("Marking", "commit", ErrorCode.ConcurrentTransactions, TransactionStatus.PrepareCommit)]
    [InlineData("Marking", "abort", ErrorCode.InvalidTxnState, TransactionStatus.PrepareCommit)]
    [InlineData("Marking", "init", ErrorCode.ConcurrentTransactions, TransactionStatus.PrepareCommit)]
    [InlineData("Committed", "commit", ErrorCode.None, TransactionStatus.CompleteCommit)]
    [InlineData("Committed", "abort", ErrorCode.InvalidTxnState, TransactionStatus.CompleteCommit)]
    [InlineData("Committed", "add", ErrorCode.None, TransactionStatus.Ongoing)]
    [InlineData("Committed", "verify", ErrorCode.TransactionAbortable, TransactionStatus.CompleteCommit)]
    [InlineData("Committed", "init", ErrorCode.None, TransactionStatus.Empty)]
    [InlineData("Aborted", "abort", ErrorCode.None, TransactionStatus.CompleteAbort)]
    [InlineData("Aborted", "commit", ErrorCode.InvalidTxnState, TransactionStatus.CompleteAbort)]
    [InlineData("Raised", "init old", ErrorCode.None, TransactionStatus.Empty)]
    [InlineData("Raised", "commit raising old", ErrorCode.None, TransactionStatus.CompleteCommit)]
    [InlineData("Raised", "abort raising old", ErrorCode.InvalidTxnState, TransactionStatus.CompleteCommit)]
    [InlineData("Raised", "commit raising", ErrorCode.InvalidTxnState, TransactionStatus.CompleteCommit)]
    [InlineData("Raised", "abort raising", ErrorCode.None, TransactionStatus.CompleteAbort)]
    [InlineData("Raised", "add", ErrorCode.None, TransactionStatus.Ongoing)]
    [InlineData("Raised", "add old", ErrorCode.ProducerFenced, TransactionStatus.CompleteCommit)]
    [InlineData("Raised", "verify old", ErrorCode.ProducerFenced, TransactionStatus.CompleteCommit)]
    internal void A_request_is_judged_by_the_state_and_by_who_sends_it(string before, string request, ErrorCode error, TransactionStatus after)
    {
        MachineHarness harness = In(before);

        ErrorCode answered = Send(harness, request.Split(' '));

        Assert.Equal((error, after), (answered, harness.Machine.Current.Status));
    }

    [Fact]
    public void A_new_producer_gets_an_id_and_each_one_after_it_the_next_epoch()
    {
        MachineHarness harness = new();

        Assert.Equal(new ProducerIdentity(1000, 0), harness.Init().Producer);
        Assert.Equal(new ProducerIdentity(1000, 1), harness.Init().Producer);
    }

    [Fact]
    public void A_producer_that_asks_again_for_a_new_epoch_gets_the_one_that_it_missed()
    {
        MachineHarness harness = In("Empty");
        ProducerIdentity own = harness.Producer;

        TransactionAnswered first = harness.Init(own);
        TransactionAnswered again = harness.Init(own);

        Assert.Equal((ErrorCode.None, first.Producer), (again.Error, again.Producer));
        Assert.Equal(own.Epoch + 1, first.Producer.Epoch);

        // Another one has come: from here on the first one is shut out.
        harness.Init();
        Assert.Equal(ErrorCode.ProducerFenced, harness.Init(own).Error);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_producer_that_missed_the_answer_to_its_end_goes_on_in_the_epoch_that_this_gave_it(bool isLastEpoch)
    {
        MachineHarness harness = isLastEpoch ? new(Worn(TransactionStatus.Empty)) : In("Empty");
        ProducerIdentity own = harness.Producer;
        harness.Add(own, Orders);
        ProducerIdentity next = harness.End(own, isCommit: true, raisesEpoch: true).Producer;

        TransactionAnswered renewed = harness.Init(own);
        TransactionAnswered again = harness.Init(own);

        Assert.Equal((ErrorCode.None, next), (renewed.Error, renewed.Producer));
        Assert.Equal((ErrorCode.None, next), (again.Error, again.Producer));

        // Another one has come: from here on the first one is shut out.
        harness.Init();
        Assert.Equal(ErrorCode.ProducerFenced, harness.Init(own).Error);
    }

    [Fact]
    public void A_producer_that_renews_itself_in_a_transaction_finds_it_aborted_and_goes_on()
    {
        MachineHarness harness = In("Ongoing");
        ProducerIdentity own = harness.Producer;

        Assert.Equal(ErrorCode.ConcurrentTransactions, harness.Init(own).Error);
        TransactionAnswered renewed = harness.Init(own);

        Assert.Equal((ErrorCode.None, new ProducerIdentity(own.Id, (short)(own.Epoch + 1))), (renewed.Error, renewed.Producer));
    }

    [Fact]
    public void Epochs_that_are_used_up_are_followed_by_a_new_id()
    {
        MachineHarness harness = new(Worn(TransactionStatus.Empty));
        ProducerIdentity last = harness.Producer;

        TransactionAnswered renewed = harness.Init(last);
        TransactionAnswered again = harness.Init(last);

        Assert.Equal(new ProducerIdentity(1000, 0), renewed.Producer);
        Assert.Equal((ErrorCode.None, renewed.Producer), (again.Error, again.Producer));
        Assert.Equal(last.Id, harness.Machine.Current.PreviousProducerId);
    }

    [Fact]
    public void A_producer_that_renews_itself_in_a_transaction_in_the_last_epoch_goes_on_with_a_new_id_and_not_in_the_epoch_of_the_markers()
    {
        MachineHarness harness = new(Worn(TransactionStatus.Empty));
        ProducerIdentity last = harness.Producer;
        harness.Add(last, Orders);
        Assert.Equal(ErrorCode.ConcurrentTransactions, harness.Init(last).Error);
        MarkersDue markers = Assert.Single(harness.Seen.OfType<MarkersDue>());
        Assert.Equal(last with { Epoch = short.MaxValue }, markers.Decision.Producer);

        TransactionAnswered renewed = harness.Init(last);
        TransactionAnswered again = harness.Init(last);

        Assert.Equal((ErrorCode.None, new ProducerIdentity(1000, 0)), (renewed.Error, renewed.Producer));
        Assert.Equal((ErrorCode.None, renewed.Producer), (again.Error, again.Producer));

        // Another one has come: from here on the first one is shut out.
        harness.Init();
        Assert.Equal(ErrorCode.ProducerFenced, harness.Init(last).Error);
    }

    [Fact]
    public void A_transaction_in_the_last_epoch_ends_in_its_own_id_and_goes_on_with_a_new_one()
    {
        MachineHarness harness = new(Worn(TransactionStatus.Empty));
        ProducerIdentity last = harness.Producer;
        harness.Add(last, Orders);

        TransactionAnswered ended = harness.End(last, isCommit: true, raisesEpoch: true);

        Assert.Equal((ErrorCode.None, new ProducerIdentity(1000, 0)), (ended.Error, ended.Producer));
        MarkersDue markers = Assert.Single(harness.Seen.OfType<MarkersDue>());
        Assert.Equal(new ProducerIdentity(last.Id, short.MaxValue), markers.Decision.Producer);

        // The answer may have been lost.
        TransactionAnswered again = harness.End(last, isCommit: true, raisesEpoch: true);
        Assert.Equal((ErrorCode.None, ended.Producer), (again.Error, again.Producer));
    }

    [Fact]
    public void Where_epochs_rise_the_markers_and_the_answer_have_the_next_one()
    {
        MachineHarness harness = In("Ongoing");
        ProducerIdentity next = harness.Producer with { Epoch = (short)(harness.Producer.Epoch + 1) };

        TransactionAnswered ended = harness.End(harness.Producer, isCommit: true, raisesEpoch: true);

        Assert.Equal(next, ended.Producer);
        Assert.Equal(next, harness.Seen.OfType<MarkersDue>().Single().Decision.Producer);
    }

    [Fact]
    public void Nothing_is_decided_before_the_data_is_on_the_disk_and_nobody_told_before_the_markers_are_written()
    {
        MachineHarness harness = In("Ongoing");

        Assert.Equal(ErrorCode.None, harness.End(harness.Producer, isCommit: true).Error);

        Type[] order = [.. harness.Seen.SkipWhile(static effect => effect is not PartitionsLeft).Select(static effect => effect.GetType())];
        Assert.Equal([typeof(PartitionsLeft), typeof(StateDecided), typeof(MarkersDue), typeof(StateNoted), typeof(TransactionAnswered)], order);
        Assert.Equal(new PartitionEnd(new Offset(7)), harness.Seen.OfType<StateDecided>().Last().State.Partitions[Orders]);
    }

    [Fact]
    public void An_abort_does_not_wait_for_its_data()
    {
        MachineHarness harness = In("Ongoing");
        harness.End(harness.Producer, isCommit: false);
        Assert.False(harness.Seen.OfType<PartitionsLeft>().Single().MustBeOnDisk);
    }

    [Fact]
    public void A_transaction_is_aborted_when_its_time_is_over_and_not_before()
    {
        MachineHarness harness = In("Ongoing");
        ProducerIdentity own = harness.Producer;

        harness.Advance(Patience - TimeSpan.FromMilliseconds(1));
        Assert.Equal(TransactionStatus.Ongoing, harness.Machine.Current.Status);
        harness.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Equal(TransactionStatus.CompleteAbort, harness.Machine.Current.Status);
        Assert.Equal(own.Epoch + 1, harness.Producer.Epoch);
        Assert.Equal(ErrorCode.ProducerFenced, harness.End(own, isCommit: true).Error);
    }

    [Fact]
    public void A_partition_that_comes_later_does_not_prolong_a_transaction()
    {
        MachineHarness harness = In("Ongoing");
        harness.Advance(Patience / 2);
        harness.Add(harness.Producer, Payments);
        harness.Advance(Patience / 2);
        Assert.Equal(TransactionStatus.CompleteAbort, harness.Machine.Current.Status);
    }

    [Fact]
    public void A_transaction_that_a_restart_finds_has_the_time_that_was_left()
    {
        MachineHarness before = In("Ongoing");
        TransactionState aged = before.Machine.Current with { StartTimestamp = before.Now.Timestamp - (long)(Patience.TotalMilliseconds / 2) };
        MachineHarness harness = new(aged);

        harness.Advance((Patience / 2) - TimeSpan.FromMilliseconds(1));
        Assert.Equal(TransactionStatus.Ongoing, harness.Machine.Current.Status);
        harness.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(TransactionStatus.CompleteAbort, harness.Machine.Current.Status);
    }

    [Fact]
    public void An_id_that_nobody_uses_is_forgotten()
    {
        MachineHarness harness = In("Committed");
        harness.Advance(TimeSpan.FromDays(7) - TimeSpan.FromSeconds(1));
        Assert.Empty(harness.Seen.OfType<IdExpired>());
        harness.Advance(TimeSpan.FromSeconds(1));
        Assert.Single(harness.Seen.OfType<IdExpired>());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_end_that_the_disk_refuses_leaves_the_transaction_open_and_can_be_asked_for_again(bool isBarrier)
    {
        MachineHarness harness = In("Ongoing");
        harness.BarrierHolds = !isBarrier;
        harness.DecisionOutcome = isBarrier ? ErrorCode.None : ErrorCode.CoordinatorNotAvailable;

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.End(harness.Producer, isCommit: true).Error);
        Assert.Equal(TransactionStatus.Ongoing, harness.Machine.Current.Status);

        harness.BarrierHolds = true;
        harness.DecisionOutcome = ErrorCode.None;
        Assert.Equal(ErrorCode.None, harness.End(harness.Producer, isCommit: true).Error);
    }

    [Fact]
    public void A_timeout_that_the_disk_refuses_is_tried_again()
    {
        MachineHarness harness = In("Ongoing");
        harness.DecisionOutcome = ErrorCode.CoordinatorNotAvailable;
        harness.Advance(Patience);
        Assert.Equal(TransactionStatus.Ongoing, harness.Machine.Current.Status);

        harness.DecisionOutcome = ErrorCode.None;
        harness.Advance(TransactionMachine.GiveUpRetryDelay);
        Assert.Equal(TransactionStatus.CompleteAbort, harness.Machine.Current.Status);
    }

    [Fact]
    public void A_transaction_that_lost_a_partition_is_aborted_and_its_producer_shut_out()
    {
        MachineHarness harness = In("Ongoing");
        ProducerIdentity own = harness.Producer;
        harness.Lose(Payments);
        Assert.Equal(TransactionStatus.Ongoing, harness.Machine.Current.Status);
        harness.Lose(Orders);
        Assert.Equal(TransactionStatus.CompleteAbort, harness.Machine.Current.Status);
        Assert.Equal(ErrorCode.ProducerFenced, harness.End(own, isCommit: true).Error);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_decision_that_a_restart_finds_gets_its_markers(bool fences)
    {
        MachineHarness harness = new(In("Marking").Machine.Current);
        ProducerIdentity own = harness.Producer;

        harness.Resume(fences);

        Assert.Equal(TransactionStatus.CompleteCommit, harness.Machine.Current.Status);
        Assert.Equal(own.Epoch + (fences ? 1 : 0), harness.Producer.Epoch);
        Assert.Single(harness.Seen.OfType<MarkersDue>());
    }

    [Fact]
    public void Without_a_producer_id_to_give_nothing_changes()
    {
        MachineHarness harness = new() { HasProducerIds = false };
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, harness.Init().Error);
        Assert.True(harness.Producer.IsNone);
    }

    [Fact]
    public void A_client_is_told_of_the_decision_also_where_a_marker_has_to_wait()
    {
        MachineHarness harness = In("Marking");
        harness.DelayMarkers();
        Assert.Equal((ErrorCode.None, TransactionStatus.PrepareCommit), (harness.Answer().Error, harness.Machine.Current.Status));
        Assert.Equal(ErrorCode.ConcurrentTransactions, harness.Add(harness.Producer, Orders));

        harness.GoOn();
        Assert.Equal(TransactionStatus.CompleteCommit, harness.Machine.Current.Status);
        Assert.Single(harness.Seen.OfType<TransactionAnswered>(), static answered => answered is { RequestId: > 2, Error: ErrorCode.None });
    }

    [Fact]
    public void The_request_that_began_an_end_is_answered_when_all_of_it_is_done()
    {
        MachineHarness harness = In("Marking");
        Assert.Equal(ErrorCode.RequestTimedOut, harness.Answer().Error);
        harness.GoOn();
        Assert.Equal(ErrorCode.None, harness.Answer().Error);
    }

    private static MachineHarness In(string state)
    {
        MachineHarness harness = new();
        harness.Init();
        harness.Init();
        if (state == "Empty")
        {
            return harness;
        }

        harness.Add(harness.Producer, Orders);
        harness.StopsAt = state switch
        {
            "Syncing" => Halt.AtBarrier,
            "Deciding" => Halt.AtDecision,
            "Marking" => Halt.AtMarkers,
            _ => Halt.Nowhere,
        };
        harness.Seen.Clear();
        if (state != "Ongoing")
        {
            harness.End(harness.Producer, isCommit: state != "Aborted", raisesEpoch: state == "Raised");
        }

        return harness;
    }

    private static ErrorCode Send(MachineHarness harness, string[] words)
    {
        ProducerIdentity own = harness.Producer;
        ProducerIdentity producer = words.Contains("old") ? own with { Epoch = (short)(own.Epoch - 1) }
            : words.Contains("other") ? own with { Id = own.Id + 7 }
            : own;
        TopicPartition partition = words.Contains("payments") ? Payments : Orders;
        return words[0] switch
        {
            "add" => harness.Add(producer, partition),
            "verify" => harness.Machine.Verify(producer, partition),
            "commit" => harness.End(producer, isCommit: true, words.Contains("raising")).Error,
            "abort" => harness.End(producer, isCommit: false, words.Contains("raising")).Error,
            _ => harness.Init(words.Length == 1 ? null : producer).Error,
        };
    }

    private static TransactionState Worn(TransactionStatus status) => TransactionState.New("id") with
    {
        Producer = new ProducerIdentity(5, TransactionState.LastEpochOfClients), Status = status, Timeout = Patience, UpdateTimestamp = 1_700_000_000_000,
    };
}
