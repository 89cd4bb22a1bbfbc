using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class ClusterViewTests
{
    private static readonly TopicPartition Partition = new("orders", 0);
    private static readonly Guid First = new("11111111-1111-1111-1111-111111111111");
    private static readonly Guid Second = new("22222222-2222-2222-2222-222222222222");

    [Fact]
    public void An_older_epoch_of_the_same_topic_is_not_believed_however_often_it_is_answered()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, First));
        for (int i = 0; i < 50; i++)
        {
            view = view.Merge(Metadata(leader: 2, epoch: 4, First));
            Assert.Equal((1, 5), LeaderOf(view));
        }

        Assert.Equal((2, 6), LeaderOf(view.Merge(Metadata(leader: 2, epoch: 6, First))));
    }

    [Fact]
    public void A_topic_that_was_created_anew_begins_with_its_own_epochs()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, First)).Merge(Metadata(leader: 2, epoch: 0, Second));
        Assert.Equal((2, 0), LeaderOf(view));
    }

    [Fact]
    public void A_broker_that_lags_behind_does_not_bring_back_a_topic_that_was_replaced()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, First)).Merge(Metadata(leader: 2, epoch: 0, Second));
        for (int i = 0; i < 10; i++)
        {
            view = view.Merge(Metadata(leader: 1, epoch: 5, First));
            Assert.Equal((2, 0), LeaderOf(view));
            Assert.Equal(Second, view.Topics["orders"].TopicId);
        }
    }

    [Fact]
    public void A_topic_that_seemed_to_be_replaced_is_believed_after_some_answers_in_a_row()
    {
        // The first broker that was asked knows the new topic, the second one only the old one: it is the old one that comes last.
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 2, epoch: 0, Second)).Merge(Metadata(leader: 1, epoch: 5, First));
        Assert.Equal((1, 5), LeaderOf(view));
        for (int i = 0; i < 11; i++)
        {
            view = view.Merge(Metadata(leader: 2, epoch: 0, Second));
        }

        Assert.Equal((2, 0), LeaderOf(view));
    }

    [Fact]
    public void A_topic_that_one_broker_does_not_know_yet_is_not_a_former_one()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, First));
        MetadataResponse unknown = Metadata(leader: 1, epoch: 0);
        unknown.Topics[0] = new MetadataTopic { Name = "orders", ErrorCode = ErrorCode.UnknownTopicOrPartition };
        Assert.Equal((1, 5), LeaderOf(view.Merge(unknown).Merge(Metadata(leader: 1, epoch: 5, First))));

        // Deleted and created again, with an answer in between: the old one stays away.
        view = view.Merge(unknown).Merge(Metadata(leader: 2, epoch: 0, Second)).Merge(Metadata(leader: 1, epoch: 5, First));
        Assert.Equal((2, 0), LeaderOf(view));
    }

    [Fact]
    public void A_topic_without_an_id_that_was_created_anew_is_believed_after_some_answers_in_a_row()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5));
        for (int i = 0; i < 10; i++)
        {
            view = view.Merge(Metadata(leader: 2, epoch: 0));
            Assert.Equal((1, 5), LeaderOf(view));
        }

        // In a row: one broker that lags behind does not add up over time.
        view = view.Merge(Metadata(leader: 1, epoch: 5));
        for (int i = 0; i < 10; i++)
        {
            view = view.Merge(Metadata(leader: 2, epoch: 0));
            Assert.Equal((1, 5), LeaderOf(view));
        }

        Assert.Equal((2, 0), LeaderOf(view.Merge(Metadata(leader: 2, epoch: 0))));
    }

    [Fact]
    public void A_broker_before_Kafka_2_4_names_epochs_that_say_nothing()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5), version: 9);
        view = view.Merge(Metadata(leader: 2, epoch: 4), version: 8);
        Assert.Equal((2, -1), LeaderOf(view));
        Assert.Equal((1, 5), LeaderOf(view.Merge(Metadata(leader: 1, epoch: 5), version: 9)));
    }

    [Fact]
    public void Another_cluster_has_other_topics()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, clusterId: "a")).Merge(Metadata(leader: 2, epoch: 0, clusterId: "b"));
        Assert.Equal((2, 0), LeaderOf(view));
        Assert.Equal("b", view.ClusterId);
    }

    [Fact]
    public void A_newer_leader_that_a_broker_names_is_taken_with_its_address()
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, First));
        ClusterView? changed = view.WithLeader(
            Partition,
            new LeaderIdAndEpoch { LeaderId = 7, LeaderEpoch = 6 },
            [new NodeEndpoint { NodeId = 7, Host = "seven", Port = 7 }]);
        Assert.Equal((7, 6), LeaderOf(changed!));
        Assert.True(changed!.TryGetLeader(Partition, out BrokerDescription? leader, out _));
        Assert.Equal(new BrokerAddress("seven", 7), leader.Address);

        // Metadata of a broker that has not heard of it does not take it back.
        Assert.Equal(6, changed.Merge(Metadata(leader: 1, epoch: 5, First)).Topics["orders"].Partitions[0].LeaderEpoch);
    }

    [Theory]
    [InlineData(2, 5)]
    [InlineData(2, 4)]
    [InlineData(-1, 9)]
    [InlineData(9, 9)]
    public void A_leader_that_is_not_newer_or_has_no_address_is_not_taken(int leader, int epoch)
    {
        ClusterView view = ClusterView.Empty.Merge(Metadata(leader: 1, epoch: 5, First));
        Assert.Null(view.WithLeader(Partition, new LeaderIdAndEpoch { LeaderId = leader, LeaderEpoch = epoch }, []));
    }

    private static (int Leader, int Epoch) LeaderOf(ClusterView view)
    {
        PartitionDescription partition = Assert.Single(view.Topics["orders"].Partitions);
        return (partition.LeaderId, partition.LeaderEpoch);
    }

    private static MetadataResponse Metadata(int leader, int epoch, Guid topicId = default, string? clusterId = null) => new()
    {
        ClusterId = clusterId,
        Brokers = [new MetadataBroker { NodeId = 1, Host = "one", Port = 1 }, new MetadataBroker { NodeId = 2, Host = "two", Port = 2 }],
        Topics = [new MetadataTopic { Name = "orders", TopicId = topicId, Partitions = [new MetadataPartition { LeaderId = leader, LeaderEpoch = epoch }] }],
    };
}
