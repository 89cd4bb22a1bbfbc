using Millrace.Kafka.Records;
using static Millrace.Messaging.Tests.Records;

namespace Millrace.Messaging.Tests;

public sealed class EndpointSchedulerTests
{
    private static readonly TopicPartition s_other = new("orders.events", 1);

    [Fact]
    public void The_bound_holds_over_all_partitions()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 3);
        for (int i = 0; i < 4; i++)
        {
            scheduler.Enqueue(Record(i, $"a{i}"));
            scheduler.Enqueue(Record(i, $"b{i}", s_other));
        }

        List<Delivery> started = StartAll(scheduler);
        Assert.Equal(3, started.Count);
        scheduler.Finish(started[0], DeliveryOutcome.Completed, TimeSpan.Zero);
        Assert.Single(StartAll(scheduler));
    }

    [Fact]
    public void Partitions_take_turns()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 4);
        for (int i = 0; i < 4; i++) scheduler.Enqueue(Record(i));
        for (int i = 0; i < 4; i++) scheduler.Enqueue(Record(i, partition: s_other));

        Assert.Equal([0, 1, 0, 1], StartAll(scheduler).Select(delivery => delivery.Sequencer.TopicPartition.Partition));
    }

    [Fact]
    public void A_waiting_key_holds_no_slot()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 1);
        scheduler.Enqueue(Record(0, "a"));
        scheduler.Enqueue(Record(1, "b"));
        Delivery a = Assert.Single(StartAll(scheduler));

        scheduler.Finish(a, new DeliveryOutcome.RetryAfter(TimeSpan.FromMinutes(1), a.Progress.Failed(DateTimeOffset.UnixEpoch)), TimeSpan.Zero);

        Assert.Equal(1, Assert.Single(StartAll(scheduler)).Offset.Value);
        Assert.Equal(TimeSpan.FromMinutes(1), scheduler.NextDue);
    }

    [Fact]
    public void What_still_runs_of_a_dropped_partition_holds_its_slot_and_is_never_committed()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 1);
        scheduler.Enqueue(Record(0, "a"));
        Delivery a = Assert.Single(StartAll(scheduler));
        scheduler.Remove(Partition);
        scheduler.Enqueue(Record(0, "b", s_other));

        Assert.Empty(StartAll(scheduler));
        scheduler.Finish(a, DeliveryOutcome.Completed, TimeSpan.Zero);

        Assert.Empty(scheduler.CommitsDue());
        Assert.Equal(s_other, Assert.Single(StartAll(scheduler)).Sequencer.TopicPartition);
    }

    [Fact]
    public void A_partition_that_comes_back_knows_nothing_of_what_ran_before()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 8);
        scheduler.Enqueue(Record(0, "a"));
        Delivery stale = Assert.Single(StartAll(scheduler));
        scheduler.Remove(Partition);
        scheduler.Add(Partition);
        scheduler.Enqueue(Record(0, "a"));
        Delivery current = Assert.Single(StartAll(scheduler));

        scheduler.Finish(stale, DeliveryOutcome.Completed, TimeSpan.Zero);
        Assert.Empty(scheduler.CommitsDue());

        scheduler.Finish(current, DeliveryOutcome.Completed, TimeSpan.Zero);
        Assert.Equal(1, Assert.Single(scheduler.CommitsDue()).Offset.Value);
    }

    [Fact]
    public void A_record_of_a_partition_that_is_not_here_is_not_taken_in()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 1);
        Assert.False(scheduler.Enqueue(Record(0, "a", new TopicPartition("orders.events", 7))));
        Assert.True(scheduler.TryGet(Partition, out Sequencer? sequencer));
        sequencer.Close();
        Assert.False(scheduler.Enqueue(Record(0, "a")));
    }

    [Fact]
    public void A_full_queue_pauses_its_partition_and_half_of_it_resumes()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 10, maxQueued: 4, maxWindow: 100);
        for (int i = 0; i < 3; i++) scheduler.Enqueue(Record(i));
        Assert.Equal(FlowChange.None, scheduler.UpdateFlow(Partition));
        scheduler.Enqueue(Record(3));
        Assert.Equal(FlowChange.Pause, scheduler.UpdateFlow(Partition));
        Assert.Equal(FlowChange.None, scheduler.UpdateFlow(Partition));

        List<Delivery> started = StartAll(scheduler);
        scheduler.Finish(started[0], DeliveryOutcome.Completed, TimeSpan.Zero);
        Assert.Equal(FlowChange.None, scheduler.UpdateFlow(Partition));
        scheduler.Finish(started[1], DeliveryOutcome.Completed, TimeSpan.Zero);
        Assert.Equal(FlowChange.Resume, scheduler.UpdateFlow(Partition));
    }

    [Fact]
    public void A_partition_takes_records_in_before_it_is_open_and_starts_them_in_order_afterwards()
    {
        EndpointScheduler scheduler = new(maxConcurrency: 8, maxQueuedRecords: 10, maxWindowRecords: 10);
        TopicPartition partition = new("orders", 0);
        Sequencer sequencer = scheduler.Add(partition, isOpen: false);
        scheduler.Enqueue(Record(0, "a", partition));
        scheduler.Enqueue(Record(1, "b", partition));
        Assert.False(scheduler.TryStart(out _));
        Assert.False(sequencer.HasReady);

        scheduler.Open(sequencer);
        Assert.True(scheduler.TryStart(out Delivery? first));
        Assert.True(scheduler.TryStart(out Delivery? second));
        Assert.Equal([0L, 1L], [first.Offset.Value, second.Offset.Value]);
    }

    [Fact]
    public void A_dead_letter_lets_its_key_and_the_floor_go_on()
    {
        Sequencer sequencer = new(Partition);
        sequencer.Enqueue(Record(0, "a"));
        sequencer.Enqueue(Record(1, "a"));
        Assert.True(sequencer.TryStart(out Delivery? first));
        Assert.False(sequencer.TryStart(out _));

        sequencer.Finish(first, DeliveryOutcome.DeadLettered, TimeSpan.Zero);
        Assert.Equal(1, sequencer.Floor?.Value);
        Assert.True(sequencer.TryStart(out Delivery? next));
        Assert.Equal(1, next.Offset.Value);
    }

    [Fact]
    public void A_window_that_a_stuck_key_holds_open_pauses_its_partition()
    {
        EndpointScheduler scheduler = New(maxConcurrency: 10, maxQueued: 4, maxWindow: 8);
        scheduler.Enqueue(Record(0, "stuck"));
        StartAll(scheduler);
        for (int i = 1; i < 8; i++)
        {
            Assert.Equal(FlowChange.None, scheduler.UpdateFlow(Partition));
            scheduler.Enqueue(Record(i, "other"));
            scheduler.Finish(Assert.Single(StartAll(scheduler)), DeliveryOutcome.Completed, TimeSpan.Zero);
        }

        Assert.Equal(FlowChange.Pause, scheduler.UpdateFlow(Partition));
    }

    private static EndpointScheduler New(int maxConcurrency, int maxQueued = 100, int maxWindow = 100)
    {
        EndpointScheduler scheduler = new(maxConcurrency, maxQueued, maxWindow);
        scheduler.Add(Partition);
        scheduler.Add(s_other);
        return scheduler;
    }

    private static List<Delivery> StartAll(EndpointScheduler scheduler)
    {
        List<Delivery> started = [];
        while (scheduler.TryStart(out Delivery? delivery)) started.Add(delivery);
        return started;
    }
}
