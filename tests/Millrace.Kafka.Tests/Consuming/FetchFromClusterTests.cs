using System.Collections.Concurrent;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Kafka.Tests.ReadingState;

namespace Millrace.Kafka.Tests;

/// <summary>What a consumer asks three brokers, and how it follows their answers.</summary>
public sealed class FetchFromClusterTests
{
    private readonly AdminCluster _cluster = new();
    private readonly ConcurrentQueue<(int Node, FetchRequest Request)> _fetches = [];

    public FetchFromClusterTests() => _cluster.Leaders["orders"] = [1];

    [Fact]
    public async Task A_position_is_compared_with_the_leaders_log_and_then_read_from_the_closest_replica_and_its_leader_again()
    {
        var asked = new ConcurrentQueue<(int Node, OffsetForLeaderEpochRequest Request)>();
        _cluster.On<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>((node, _, request) =>
        {
            asked.Enqueue((node, request));
            return new OffsetForLeaderEpochResponse
            {
                Topics = [new OffsetForLeaderTopicResult { Name = "orders", Partitions = [new LeaderEpochEnd { LeaderEpoch = 0, EndOffset = 8 }] }],
            };
        });
        AnswerFetches((node, offset) => node switch
        {
            1 when offset < 12 => new FetchPartitionResponse { PreferredReadReplica = 3 },
            3 when offset >= 12 => Error(ErrorCode.NotLeaderOrFollower),
            _ => Fetched(Batch(offset, 1, epoch: 1)),
        });
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions
        {
            AutoOffsetReset = AutoOffsetReset.Earliest,
            ClientRack = "rack-3",
            IsolationLevel = IsolationLevel.ReadCommitted,
            PrefetchByteCount = 1_000,
        });
        consumer.Assign([new TopicPartitionOffset(Partition, new Offset(10), LeaderEpoch: 0)]);
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, 10);
        Assert.Equal(Enumerable.Range(8, 10).Select(offset => (long)offset), records.Select(record => record.Offset.Value));

        (int node, OffsetForLeaderEpochRequest question) = Assert.Single(asked);
        OffsetForLeaderPartition compared = Assert.Single(Assert.Single(question.Topics).Partitions);
        Assert.Equal((1, -1, 1, 0), (node, question.ReplicaId, compared.CurrentLeaderEpoch, compared.LeaderEpoch));
        (int Node, FetchRequest Request)[] fetches = [.. _fetches];
        FetchPartition first = Assert.Single(Assert.Single(fetches[0].Request.Topics).Partitions);
        Assert.Equal((1, "rack-3", (sbyte)1, 8L, 0), (fetches[0].Node, fetches[0].Request.RackId, fetches[0].Request.IsolationLevel, first.FetchOffset, first.LastFetchedEpoch));
        Assert.Equal([1, 3, 1], fetches.Select(fetch => fetch.Node).Aggregate(new List<int>(), (nodes, next) => nodes is [.., int last] && last == next ? nodes : [.. nodes, next]));
    }

    [Fact]
    public async Task A_session_that_the_broker_has_lost_costs_no_record()
    {
        int count = 0;
        AnswerFetches((_, offset) => Fetched(Batch(offset, 1, epoch: 1)), () => ++count % 3 == 0 ? ErrorCode.FetchSessionIdNotFound : ErrorCode.None);
        await using KafkaClient client = _cluster.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { PrefetchByteCount = 1_000 });
        consumer.Assign([new TopicPartitionOffset(Partition, Offset.Zero)]);
        List<ConsumerRecord> records = await ProduceAndConsumeTests.ReadAsync(consumer, 20);
        Assert.Equal(Enumerable.Range(0, 20).Select(offset => (long)offset), records.Select(record => record.Offset.Value));
        Assert.Contains(_fetches, fetch => fetch.Request is { SessionId: 5, SessionEpoch: 1 });
    }

    /// <summary>Every fetch is answered at once, in a session, with what the function gives for the offset that the partition has in it.</summary>
    private void AnswerFetches(Func<int, long, FetchPartitionResponse> answer, Func<ErrorCode>? sessionError = null)
    {
        var offsets = new ConcurrentDictionary<int, long>();
        _cluster.On<FetchRequest, FetchResponse>((node, _, request) =>
        {
            _fetches.Enqueue((node, request));
            if (sessionError?.Invoke() is { } error and not ErrorCode.None)
            {
                return new FetchResponse { ErrorCode = error };
            }

            foreach (FetchPartition partition in request.Topics.SelectMany(topic => topic.Partitions))
            {
                offsets[node] = partition.FetchOffset;
            }

            return new FetchResponse
            {
                SessionId = 5,
                Topics = [new FetchTopicResponse { Name = "orders", Partitions = [answer(node, offsets[node])] }],
            };
        });
    }
}
