using Millrace.Kafka;
using Millrace.Kafka.Records;
using static Millrace.Messaging.Tests.Records;

namespace Millrace.Messaging.Tests;

public sealed class SequencerTests
{
    private readonly Sequencer _sequencer = new(Partition);

    [Fact]
    public void Records_of_one_key_start_one_after_the_other()
    {
        Enqueue((0, "a"), (1, "a"));

        Delivery first = Start();
        Assert.False(_sequencer.TryStart(out _));
        Complete(first);

        Assert.Equal(1, Start().Offset.Value);
    }

    [Fact]
    public void Different_keys_and_records_without_a_key_start_at_once()
    {
        Enqueue((0, "a"), (1, "b"), (2, null), (3, null));

        Assert.Equal([0, 1, 2, 3], Enumerable.Range(0, 4).Select(_ => Start().Offset.Value));
    }

    [Fact]
    public void An_empty_key_is_a_key()
    {
        Enqueue((0, ""), (1, ""), (2, null));

        Assert.Equal(0, Start().Offset.Value);
        Assert.Equal(2, Start().Offset.Value);
        Assert.False(_sequencer.TryStart(out _));
    }

    [Fact]
    public void The_floor_stops_at_the_first_incomplete_record()
    {
        Enqueue((0, "a"), (1, "b"), (2, "c"));
        Delivery a = Start(), b = Start(), c = Start();

        Complete(c);
        Assert.Equal(0, _sequencer.Floor!.Value.Value);
        Complete(a);
        Assert.Equal(1, _sequencer.Floor!.Value.Value);
        Complete(b);
        Assert.Equal(3, _sequencer.Floor!.Value.Value);
        Assert.Equal(0, _sequencer.WindowCount);
    }

    [Fact]
    public void A_log_that_begins_again_drops_what_was_taken_in_before_and_commits_none_of_it()
    {
        Enqueue((100, "a"), (101, "a"), (102, "b"));
        Delivery old = Start();

        Enqueue((0, "a"), (1, "b"));
        Complete(old);

        Assert.Null(_sequencer.CommitDue());
        Assert.Equal(2, _sequencer.IncompleteCount);
        Complete(Start());
        Assert.Equal(1, _sequencer.CommitDue()!.Offset.Value);
        Complete(Start());
        Assert.Equal(2, _sequencer.Floor!.Value.Value);
        Assert.Equal(0, _sequencer.RunningCount);
    }

    [Fact]
    public void A_failed_record_keeps_the_head_of_its_lane_while_other_keys_flow()
    {
        Enqueue((0, "a"), (1, "a"), (2, "b"));
        Delivery a = Start();
        Delivery b = Start();

        Retry(a, TimeSpan.FromSeconds(1), now: TimeSpan.Zero);
        Complete(b);
        Assert.False(_sequencer.TryStart(out _));
        Assert.Equal(0, _sequencer.RunningCount);

        _sequencer.Advance(TimeSpan.FromMilliseconds(999));
        Assert.False(_sequencer.TryStart(out _));
        _sequencer.Advance(TimeSpan.FromSeconds(1));
        Delivery again = Start();
        Assert.Same(a, again);
        Assert.Equal(2, again.Progress.Attempt);
        Assert.False(_sequencer.TryStart(out _));
        Complete(again);
        Assert.Equal(1, Start().Offset.Value);
    }

    [Fact]
    public void The_next_due_time_is_that_of_the_earliest_delayed_record()
    {
        Enqueue((0, "a"), (1, "b"));
        Delivery a = Start(), b = Start();
        Assert.Null(_sequencer.NextDue);

        Retry(a, TimeSpan.FromSeconds(5), now: TimeSpan.FromSeconds(1));
        Retry(b, TimeSpan.FromSeconds(2), now: TimeSpan.FromSeconds(1));

        Assert.Equal(TimeSpan.FromSeconds(3), _sequencer.NextDue);
    }

    [Fact]
    public void A_key_with_many_records_takes_turns_with_the_others()
    {
        Enqueue((0, "a"), (1, "a"), (2, "b"));
        Complete(Start());

        Assert.Equal(2, Start().Offset.Value);
        Assert.Equal(1, Start().Offset.Value);
    }

    [Fact]
    public void Nothing_is_committed_before_a_record_is_completed()
    {
        Assert.Null(_sequencer.CommitDue());
        Enqueue((7, "a"));
        Assert.Null(_sequencer.CommitDue());
    }

    [Fact]
    public void A_commit_carries_the_leader_epoch_of_the_last_record_below_the_floor()
    {
        _sequencer.Enqueue(Record(4, "a", leaderEpoch: 2));
        _sequencer.Enqueue(Record(9, "b", leaderEpoch: 3));
        Delivery a = Start();
        Start();
        Complete(a);

        Assert.Equal(new TopicPartitionOffset(Partition, new Offset(9), 2), _sequencer.CommitDue());
        _sequencer.MarkCommitted(new Offset(9));
        Assert.Null(_sequencer.CommitDue());
    }

    [Fact]
    public void An_older_commit_that_ends_later_does_not_bring_the_floor_back()
    {
        Enqueue((0, "a"), (1, "b"));
        Complete(Start());
        Complete(Start());
        _sequencer.MarkCommitted(new Offset(2));
        _sequencer.MarkCommitted(new Offset(1));

        Assert.Null(_sequencer.CommitDue());
    }

    [Fact]
    public void A_closed_partition_starts_nothing_and_still_counts_what_completes()
    {
        Enqueue((0, "a"), (1, "b"), (2, "c"));
        Delivery a = Start(), b = Start();
        _sequencer.Close();

        Assert.False(_sequencer.TryStart(out _));
        Complete(a);
        _sequencer.Finish(b, DeliveryOutcome.Abandoned, TimeSpan.Zero);

        Assert.Equal(1, _sequencer.CommitDue()!.Offset.Value);
        Assert.Equal(0, _sequencer.RunningCount);
    }

    [Fact]
    public void A_completed_record_behind_the_floor_keeps_its_offset_and_not_its_body()
    {
        Enqueue((0, "a"), (1, "b"));
        Start();
        Delivery b = Start();
        Complete(b);

        Assert.Null(b.Record);
        Assert.Equal(2, _sequencer.WindowCount);
    }

    [Fact]
    public void A_record_that_ends_twice_is_refused()
    {
        Enqueue((0, "a"));
        Delivery a = Start();
        Complete(a);

        Assert.Throws<InvalidOperationException>(() => Complete(a));
    }

    private void Enqueue(params (long Offset, string? Key)[] records)
    {
        foreach ((long offset, string? key) in records) _sequencer.Enqueue(Record(offset, key));
    }

    private Delivery Start()
    {
        Assert.True(_sequencer.TryStart(out Delivery? delivery));
        return delivery;
    }

    private void Complete(Delivery delivery) => _sequencer.Finish(delivery, DeliveryOutcome.Completed, TimeSpan.Zero);

    private void Retry(Delivery delivery, TimeSpan delay, TimeSpan now) =>
        _sequencer.Finish(delivery, new DeliveryOutcome.RetryAfter(delay, delivery.Progress.Failed(DateTimeOffset.UnixEpoch)), now);
}
