using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>How far ahead is fetched, and that nothing waits for a fetch that waits.</summary>
public sealed class PrefetchTests
{
    private static readonly TopicPartition Other = new("orders", 1);

    [Fact]
    public void The_next_fetch_leaves_while_records_wait_and_none_leaves_while_too_much_does()
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 10_000, PartitionFetchMaxByteCount = 4_000 });
        FetchPlan plan = reading.Assign(0).PlanOne();
        Assert.Equal(4_000, plan.MaxByteCount);
        reading.Answer(plan, Fetched(Batch(0, 3, valueByteCount: 1_000)));
        plan = reading.PlanOne();
        Assert.Equal(4_000, plan.MaxByteCount);
        reading.Answer(plan, Fetched(Batch(3, 3, valueByteCount: 1_000)));
        Assert.Empty(reading.Plan().Fetches);
        Assert.False(reading.State.HasRoomAgain);
        Assert.Equal([0], reading.Take(1));
        Assert.False(reading.State.HasRoomAgain);
        Assert.Equal([1, 2, 3, 4, 5], reading.TakeAll());
        Assert.True(reading.State.HasRoomAgain);
        Assert.Equal(new Offset(6), Assert.Single(reading.PlanOne().Targets).Offset);
    }

    [Fact]
    public void Fetches_under_way_count_and_never_ask_for_more_than_there_is_room()
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 10_000, PartitionFetchMaxByteCount = 3_000 }, partitionCount: 2);
        FetchPlan both = reading.Assign(0).PlanOne();
        Assert.Equal(5_000, both.MaxByteCount);
        reading.State.Seek(Other, new Offset(5));
        Assert.Equal(3_000, reading.PlanOne().MaxByteCount);
        reading.Answer(both, Fetched(Batch(0, 2, valueByteCount: 1_000), Batch(2, 1, valueByteCount: 1_500)));
        FetchPlan next = reading.PlanOne();
        Assert.InRange(next.MaxByteCount, 3_000, 3_500);
    }

    [Theory]
    [InlineData(1, 16)]
    [InlineData(2, 8)]
    [InlineData(3, 5)]
    public void Fetches_that_wait_at_brokers_leave_room_for_those_at_others_and_for_what_is_sought(int brokerCount, int shareMebibyteCount)
    {
        ReadingState reading = Led(brokerCount, partitionsPerBroker: 40);
        IReadOnlyList<FetchPlan> plans = reading.Assign(0).Plan().Fetches;
        Assert.Equal(Enumerable.Range(1, brokerCount), plans.Select(plan => plan.NodeId));
        Assert.All(plans, plan => Assert.Equal(shareMebibyteCount, plan.MaxByteCount / 1024 / 1024));

        // All wait; what is sought is asked for all the same.
        reading.State.Seek(Partition, new Offset(7));
        FetchPlan sought = reading.PlanOne();
        Assert.Equal((true, 1), (sought.IsAside, sought.NodeId));

        // The first one hangs, and the others are asked again and again.
        for (int i = 0; i < 10 && brokerCount > 1; i++)
        {
            FetchPlan other = plans[1];
            reading.Answer(other);
            Assert.Same(other, reading.PlanOne());
        }
    }

    [Fact]
    public void A_fetch_waits_for_no_more_room_than_its_share()
    {
        ReadingState reading = Led(brokerCount: 2, partitionsPerBroker: 2, new ConsumerOptions { PrefetchByteCount = 8_000, PartitionFetchMaxByteCount = 4_000 });
        IReadOnlyList<FetchPlan> plans = reading.Assign(0).Plan().Fetches;
        FetchPartitionResponse large = Fetched(Batch(0, 1, valueByteCount: 5_000));
        large.Index = 2;
        reading.Answer(plans[0], Fetched(Batch(0, 1, valueByteCount: 1_500)), large);
        Assert.Empty(reading.Plan().Fetches);
        Assert.False(reading.State.HasRoomAgain);
        reading.Answer(plans[1]);
        Assert.Empty(reading.Plan().Fetches);
        Assert.False(reading.State.HasRoomAgain);
        Assert.Equal([0], reading.Take(1));
        Assert.True(reading.State.HasRoomAgain);
        Assert.InRange(reading.PlanOne().MaxByteCount, 2_000, 4_000);
    }

    [Fact]
    public void What_waits_of_a_paused_partition_gives_way_where_others_have_no_room_and_is_fetched_again()
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 4_000, PartitionFetchMaxByteCount = 4_000 }, partitionCount: 2);
        reading.Assign(0);
        reading.State.SetPaused([Other], isPaused: true);
        reading.Answer(reading.PlanOne(), Fetched(Batch(0, 3, valueByteCount: 1_000)));
        reading.State.SetPaused([Partition], isPaused: true);
        reading.State.SetPaused([Other], isPaused: false);
        FetchPlan plan = reading.PlanOne();
        Assert.Equal(Other, Assert.Single(plan.Targets).Partition);
        FetchPartitionResponse answer = Fetched(Batch(0, 1));
        answer.Index = 1;
        reading.Answer(plan, answer);
        Assert.Equal([0], reading.TakeAll());

        reading.State.SetPaused([Partition], isPaused: false);
        Assert.Equal(Offset.Zero, reading.PlanOne().Targets.Single(target => target.Partition == Partition).Offset);
    }

    [Fact]
    public void What_was_opened_of_a_paused_partition_stays_when_the_rest_gives_way()
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 4_000, PartitionFetchMaxByteCount = 4_000 }, partitionCount: 2);
        reading.Assign(0);
        reading.State.SetPaused([Other], isPaused: true);
        reading.Answer(reading.PlanOne(), Fetched(Batch(0, 2, valueByteCount: 700, codec: CompressionCodec.Lz4), Batch(2, 3, valueByteCount: 1_000)));
        Assert.Equal([0], reading.Take(1));
        reading.State.SetPaused([Partition], isPaused: true);
        reading.State.SetPaused([Other], isPaused: false);
        reading.Answer(reading.PlanOne());
        reading.State.SetPaused([Partition], isPaused: false);
        Assert.Equal([1], reading.TakeAll());
        Assert.Equal(new Offset(2), reading.PlanOne().Targets.Single(target => target.Partition == Partition).Offset);
    }

    [Fact]
    public void A_held_partition_is_not_fetched_and_what_waits_of_it_gives_way_to_the_others()
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 4_000, PartitionFetchMaxByteCount = 4_000 }, partitionCount: 2);
        reading.Assign(0);
        FetchPartitionResponse large = Fetched(Batch(0, 3, valueByteCount: 1_000));
        large.Index = 1;
        reading.Answer(reading.PlanOne(), large);
        reading.State.Hold([Other]);
        FetchPlan plan = reading.PlanOne();
        Assert.Equal(Partition, Assert.Single(plan.Targets).Partition);
        reading.Answer(plan, Fetched(Batch(0, 1)));
        Assert.Equal([0], reading.TakeAll());

        reading.State.Release([Other]);
        Assert.Equal(Offset.Zero, reading.PlanOne().Targets.Single(target => target.Partition == Other).Offset);
    }

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Lz4)]
    public void What_was_opened_of_a_held_partition_gives_way_as_well_and_no_record_is_lost(CompressionCodec codec)
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 4_000, PartitionFetchMaxByteCount = 4_000 }, partitionCount: 2);
        reading.Assign(0);
        var random = new Random(1);
        byte[] noise = new byte[1_200];
        random.NextBytes(noise);
        FetchPartitionResponse large = Fetched(Batch(0, 2, value: noise, codec: codec));
        large.Index = 1;
        reading.Answer(reading.PlanOne(), large);
        Assert.Equal([0], reading.Take(1));
        reading.State.Hold([Other]);
        reading.Answer(reading.PlanOne(), Fetched(Batch(0, 1)));
        Assert.Equal([0], reading.TakeAll());
        reading.State.Release([Other]);
        Assert.Equal(new Offset(1), reading.State.Find(Other)!.Position);
        reading.Answer(reading.Plan().Fetches.Single(plan => plan.Targets.Exists(target => target.Partition == Other)), large);
        Assert.Equal([1], reading.TakeAll());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_little_that_waits_of_a_paused_partition_does_not_keep_large_frames_in_memory(bool isOpened)
    {
        var reading = new ReadingState(new ConsumerOptions { PrefetchByteCount = 40_000, PartitionFetchMaxByteCount = 4_000 }, partitionCount: 2);
        reading.Assign(0);
        List<FrameBuffer> frames = [];
        List<long> others = [];
        for (int i = 0; i < 50; i++)
        {
            // Resumed and paused again before anything of it is read: each time a little of it comes with much of the other.
            reading.State.SetPaused([Other], isPaused: false);
            FetchPlan plan = reading.PlanOne();
            reading.Send(plan);
            Assert.Contains(plan.Targets, target => target.Partition == Other);
            FrameBuffer frame = Answer(Fetched(Batch(i, 1, valueByteCount: 3_000)), Fetched(Batch(2 * i, 2)));
            frames.Add(frame);
            FetchResponse response = ToResponse(frame);
            reading.AnswerSent(plan, response);
            frame.Release();
            if (isOpened && i == 0)
            {
                reading.State.SetPaused([Partition], isPaused: true);
                others.AddRange(reading.Take(1));
                reading.State.SetPaused([Partition], isPaused: false);
            }

            reading.State.SetPaused([Other], isPaused: true);
            reading.TakeAll();
            reading.Answer(reading.PlanOne());
        }

        Assert.InRange(frames.Count(IsAlive), 0, 1);
        reading.State.SetPaused([Other], isPaused: false);
        others.AddRange(reading.TakeAll());
        Assert.Equal(Enumerable.Range(0, 100).Select(offset => (long)offset), others);
        Assert.Equal(0, frames.Count(IsAlive));

        static bool IsAlive(FrameBuffer frame)
        {
            try
            {
                return frame.Bytes.Length > 0;
            }
            catch (ObjectDisposedException)
            {
                return false;
            }
        }

        // The response's slices lie in the frame, with room around them.
        static FrameBuffer Answer(FetchPartitionResponse first, FetchPartitionResponse second)
        {
            FrameBuffer frame = FrameBuffer.Rent(10_000);
            frame.Bytes.Span[FrameBuffer.SizePrefixByteCount..].Clear();
            first.Records!.Value.CopyTo(frame.Bytes[100..]);
            second.Records!.Value.CopyTo(frame.Bytes[9_000..]);
            return frame;
        }

        static FetchResponse ToResponse(FrameBuffer frame)
        {
            int largeByteCount = RecordBatchHeader.Read(frame.Bytes.Span[100..]).TotalByteCount;
            int smallByteCount = RecordBatchHeader.Read(frame.Bytes.Span[9_000..]).TotalByteCount;
            return new FetchResponse
            {
                Frame = frame,
                Topics =
                [
                    new FetchTopicResponse
                    {
                        Name = "orders",
                        Partitions =
                        [
                            new FetchPartitionResponse { Index = 0, Records = frame.Bytes.Slice(100, largeByteCount) },
                            new FetchPartitionResponse { Index = 1, Records = frame.Bytes.Slice(9_000, smallByteCount) },
                        ],
                    },
                ],
            };
        }
    }

    [Fact]
    public void Partitions_that_are_sought_resumed_or_assigned_do_not_wait_for_the_fetch_that_is_under_way()
    {
        var reading = new ReadingState(partitionCount: 2);
        reading.Assign(0);
        reading.State.SetPaused([Other], isPaused: true);
        FetchPlan waiting = reading.PlanOne();
        Assert.False(waiting.IsAside);
        Assert.Empty(reading.Plan().Fetches);

        reading.State.SetPaused([Other], isPaused: false);
        FetchPlan resumed = reading.PlanOne();
        Assert.True(resumed.IsAside);
        Assert.Equal(Other, Assert.Single(resumed.Targets).Partition);
        Assert.Equal((0, -1), (reading.Send(resumed).SessionId, reading.Request.SessionEpoch));
        FetchPartitionResponse answer = Fetched(Batch(0, 1));
        answer.Index = 1;
        reading.AnswerSent(resumed, answer);
        Assert.Equal([0], reading.TakeAll());

        reading.State.Seek(Partition, new Offset(9));
        FetchPlan sought = reading.PlanOne();
        Assert.True(sought.IsAside);
        Assert.Equal([Other, Partition], sought.Targets.Select(target => target.Partition).OrderDescending(TopicPartition.Order));
        reading.Answer(sought);

        // With the first one's answer, all go together again.
        reading.Answer(waiting, Fetched(Batch(0, 5)));
        Assert.Equal(2, reading.PlanOne().Targets.Count);
        Assert.Empty(reading.TakeAll());
    }

    /// <summary>Partitions that the brokers lead in turn.</summary>
    private static ReadingState Led(int brokerCount, int partitionsPerBroker, ConsumerOptions? options = null)
    {
        var reading = new ReadingState(options, brokerCount * partitionsPerBroker);
        MetadataResponse metadata = reading.Metadata(leader: 1, epoch: 0);
        metadata.Topics[0].Partitions.ForEach(partition => partition.LeaderId = 1 + (partition.Index % brokerCount));
        reading.View = ClusterView.Empty.Merge(metadata);
        return reading;
    }
}
