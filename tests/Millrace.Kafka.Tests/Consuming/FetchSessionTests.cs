using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>Fetch sessions (KIP-227) and topics that are named by their ids (KIP-516), as the broker sees them.</summary>
public sealed class FetchSessionTests
{
    private const int SessionId = 77;

    private readonly ReadingState _reading = new(partitionCount: 3);

    [Fact]
    public void After_a_full_fetch_only_what_has_moved_is_said()
    {
        FetchRequest full = Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        Assert.Equal((0, 0), (full.SessionId, full.SessionEpoch));
        Assert.Equal([0, 1, 2], PartitionsOf(full));
        Answer(plan, Index(1, Fetched(Batch(0, 5))));

        FetchRequest second = Send(_reading.PlanOne(), out plan);
        Assert.Equal((SessionId, 1), (second.SessionId, second.SessionEpoch));
        FetchPartition moved = Assert.Single(Assert.Single(second.Topics).Partitions);
        Assert.Equal((1, 5), (moved.Index, moved.FetchOffset));
        Assert.Empty(second.ForgottenTopics);
        Answer(plan);

        FetchRequest third = Send(_reading.PlanOne(), out plan);
        Assert.Equal((SessionId, 2), (third.SessionId, third.SessionEpoch));
        Assert.Empty(third.Topics);
        Answer(plan, Index(2, Fetched(Batch(0, 1))));
        Assert.Equal(6, _reading.TakeAll().Count);
    }

    [Fact]
    public void What_is_paused_or_taken_away_is_forgotten_and_named_anew_when_it_comes_back()
    {
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        Answer(plan);
        _reading.State.SetPaused([new TopicPartition("orders", 1)], isPaused: true);
        _reading.State.Remove([new TopicPartition("orders", 2)]);
        FetchRequest request = Send(_reading.PlanOne(), out plan);
        Assert.Empty(request.Topics);
        Assert.Equal([1, 2], Assert.Single(request.ForgottenTopics).Partitions.Order());
        Answer(plan);

        _reading.State.SetPaused([new TopicPartition("orders", 1)], isPaused: false);
        request = Send(_reading.PlanOne(), out _);
        Assert.Equal([1], PartitionsOf(request));
        Assert.Empty(request.ForgottenTopics);
    }

    [Theory]
    [InlineData(ErrorCode.FetchSessionIdNotFound, 0)]
    [InlineData(ErrorCode.InvalidFetchSessionEpoch, SessionId)]
    [InlineData(ErrorCode.FetchSessionTopicIdError, SessionId)]
    [InlineData(ErrorCode.UnknownTopicId, SessionId)]
    [InlineData(ErrorCode.InconsistentTopicId, SessionId)]
    public void A_session_that_is_lost_begins_anew_at_once_and_again_with_a_pause(ErrorCode error, int endedId)
    {
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        Answer(plan);
        Send(_reading.PlanOne(), out plan);
        _reading.AnswerSent(plan, new FetchResponse { ErrorCode = error });

        FetchRequest full = Send(_reading.PlanOne(), out plan);
        Assert.Equal((endedId, 0), (full.SessionId, full.SessionEpoch));
        Assert.Equal([0, 1, 2], PartitionsOf(full));
        _reading.AnswerSent(plan, new FetchResponse { ErrorCode = error });
        ConsumerEffects waiting = _reading.Plan();
        Assert.Empty(waiting.Fetches);
        _reading.Now = waiting.WakeAt!.Value;
        Assert.Equal([0, 1, 2], PartitionsOf(Send(_reading.PlanOne(), out _)));
    }

    [Fact]
    public void Topic_ids_that_the_broker_does_not_know_have_metadata_asked_for()
    {
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        _reading.AnswerSent(plan, new FetchResponse { ErrorCode = ErrorCode.UnknownTopicId });
        Assert.True(_reading.LastEffects.NeedsMetadata);
    }

    [Fact]
    public void A_broken_connection_ends_the_session_and_begins_another()
    {
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        Answer(plan);
        _reading.Fail(_reading.PlanOne());
        _reading.Now += TimeSpan.FromSeconds(10);
        FetchRequest full = Send(_reading.PlanOne(), out _);
        Assert.Equal((SessionId, 0), (full.SessionId, full.SessionEpoch));
        Assert.Equal([0, 1, 2], PartitionsOf(full));
    }

    [Fact]
    public void A_broker_without_room_for_a_session_is_always_told_everything()
    {
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        _reading.AnswerSent(plan, new FetchResponse { SessionId = 0 });
        FetchRequest full = Send(_reading.PlanOne(), out _);
        Assert.Equal((0, 0), (full.SessionId, full.SessionEpoch));
        Assert.Equal([0, 1, 2], PartitionsOf(full));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(6)]
    public void Old_versions_have_no_session(short version)
    {
        _reading.Version = version;
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        Answer(plan);
        FetchRequest full = Send(_reading.PlanOne(), out _);
        Assert.Equal((0, -1), (full.SessionId, full.SessionEpoch));
        Assert.Equal([0, 1, 2], PartitionsOf(full));
    }

    [Fact]
    public void Topics_are_named_by_their_ids_where_all_have_one_and_by_name_otherwise()
    {
        _reading.Version = 17;
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        Assert.Equal(12, plan.Session.Version);
        Answer(plan);

        var id = new Guid(1, 2, 3, [1, 2, 3, 4, 5, 6, 7, 8]);
        _reading.Lead(leader: 1, epoch: 0, id);
        FetchRequest full = Send(_reading.PlanOne(), out plan);
        Assert.Equal(17, plan.Session.Version);
        Assert.Equal((SessionId, 0), (full.SessionId, full.SessionEpoch));
        Assert.Equal(id, Assert.Single(full.Topics).TopicId);
        Answer(plan, Index(0, Fetched(Batch(0, 2))));
        Assert.Equal([0, 1], _reading.TakeAll());
    }

    [Fact]
    public void An_answer_about_a_topic_id_that_was_not_asked_for_is_ignored()
    {
        _reading.Version = 17;
        _reading.Lead(leader: 1, epoch: 0, new Guid(1, 2, 3, [1, 2, 3, 4, 5, 6, 7, 8]));
        Send(_reading.Assign(0).PlanOne(), out FetchPlan plan);
        var other = new FetchTopicResponse { TopicId = new Guid(9, 2, 3, [1, 2, 3, 4, 5, 6, 7, 8]), Partitions = [Fetched(Batch(0, 2))] };
        _reading.AnswerSent(plan, new FetchResponse { SessionId = SessionId, Topics = [other] });
        Assert.Empty(_reading.TakeAll());
    }

    [Theory]
    [InlineData(AutoOffsetReset.Earliest)]
    [InlineData(AutoOffsetReset.None)]
    public void A_topic_that_was_created_again_is_noticed_and_its_position_means_nothing(AutoOffsetReset reset)
    {
        var reading = new ReadingState(new ConsumerOptions { AutoOffsetReset = reset }) { Version = 17 };
        var before = new Guid(1, 2, 3, [1, 2, 3, 4, 5, 6, 7, 8]);
        var now = new Guid(2, 2, 3, [1, 2, 3, 4, 5, 6, 7, 8]);
        reading.Lead(leader: 1, epoch: 5, before);
        reading.Answer(reading.Assign(3).PlanOne(), Fetched(Batch(3, 2)));
        reading.Lead(leader: 1, epoch: 0, now);
        ConsumerEffects effects = reading.Plan();
        Assert.Empty(effects.Fetches);
        Assert.Equal(new ConsumerNotice.Recreated(Partition, before, now), Assert.Single(reading.Notices));
        Assert.Empty(reading.TakeAll());
        if (reset == AutoOffsetReset.None)
        {
            Assert.IsType<KafkaOffsetOutOfRangeException>(reading.State.TakeFault());
            reading.State.Seek(Partition, Offset.Zero);
        }
        else
        {
            (TopicPartition partition, PositionSource source, long version) = Assert.Single(reading.State.MissingPositions(reading.Now));
            Assert.Equal(PositionSource.Reset, source);
            reading.State.SetPosition(partition, version, Offset.Zero);
        }

        Assert.Equal(now, Assert.Single(reading.PlanOne().Targets).TopicId);
    }

    private static IEnumerable<int> PartitionsOf(FetchRequest request) => request.Topics.SelectMany(topic => topic.Partitions).Select(partition => partition.Index).Order();

    private static FetchPartitionResponse Index(int index, FetchPartitionResponse answer)
    {
        answer.Index = index;
        return answer;
    }

    private FetchRequest Send(FetchPlan planned, out FetchPlan plan)
    {
        plan = planned;
        return _reading.Send(planned);
    }

    private void Answer(FetchPlan plan, params FetchPartitionResponse[] partitions) => _reading.AnswerSent(plan, new FetchResponse
    {
        SessionId = SessionId,
        Topics = [new FetchTopicResponse { Name = "orders", TopicId = _reading.View.Topics["orders"].TopicId, Partitions = [.. partitions] }],
    });
}
