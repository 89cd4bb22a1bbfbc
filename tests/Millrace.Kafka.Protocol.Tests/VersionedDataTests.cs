namespace Millrace.Kafka.Protocol.Tests;

/// <summary>Blobs of the consumer protocol, and the records of the offsets topic.</summary>
public class VersionedDataTests
{
    [Fact]
    public void A_subscription_is_written_as_kafkajs_writes_it()
    {
        // kafkajs 2.2.4, MemberMetadata.encode({ version: 1, topics: ['orders', 'payments'], userData: Buffer.from([7]) }); it writes the fields of version 0.
        byte[] kafkajs = Convert.FromHexString("0001" + "00000002" + "00066f7264657273" + "00087061796d656e7473" + "00000001" + "07");
        Assert.True(ConsumerProtocolSubscription.TryRead(kafkajs, out ConsumerProtocolSubscription? subscription, out string? error), error);
        Assert.Equal(["orders", "payments"], subscription.Topics);
        Assert.Equal([7], subscription.UserData!);
        Assert.Empty(subscription.OwnedPartitions);

        byte[] written = MessageCodec.WriteData(subscription, version: 0);
        Assert.Equal(kafkajs.AsSpan(2), written.AsSpan(2));
        Assert.Equal([0, 0], written[..2]);
    }

    [Fact]
    public void An_assignment_is_read_as_kafkajs_writes_it()
    {
        // kafkajs 2.2.4, MemberAssignment.encode({ version: 1, assignment: { orders: [0, 2] }, userData: Buffer.alloc(0) })
        byte[] kafkajs = Convert.FromHexString("0001" + "00000001" + "00066f7264657273" + "00000002" + "00000000" + "00000002" + "00000000");
        Assert.True(MessageCodec.TryReadData<ConsumerProtocolAssignment>(kafkajs, acceptNewer: true, out ConsumerProtocolAssignment? assignment, out string? error), error);
        ConsumerProtocolTopicPartitions topic = Assert.Single(assignment.AssignedPartitions);
        Assert.Equal("orders", topic.Topic);
        Assert.Equal([0, 2], topic.Partitions);
        Assert.Equal(kafkajs, MessageCodec.WriteData(assignment, version: 1));
    }

    [Fact]
    public void A_newer_subscription_is_read_as_the_newest_known_one()
    {
        var subscription = new ConsumerProtocolSubscription
        {
            Topics = ["orders"],
            OwnedPartitions = [new() { Topic = "orders", Partitions = [1] }],
            GenerationId = 8,
            RackId = "r",
        };
        byte[] newer = [.. MessageCodec.WriteData(subscription, version: 3), 1, 2, 3];
        newer[1] = 9;
        Assert.True(ConsumerProtocolSubscription.TryRead(newer, out ConsumerProtocolSubscription? read, out string? error), error);
        Assert.Equal(("orders", 1, 8, "r"), (read.Topics[0], read.OwnedPartitions[0].Partitions[0], read.GenerationId, read.RackId));
        Assert.False(MessageCodec.TryReadData<ConsumerProtocolSubscription>(newer, acceptNewer: false, out _, out error));
        Assert.Equal("ConsumerProtocolSubscription: version 9 is not one of 0 to 3.", error);
    }

    [Theory]
    [InlineData("")]
    [InlineData("00")]
    [InlineData("ffff00000000")]
    [InlineData("00007fffffff")]
    [InlineData("000300000001")]
    public void Nonsense_is_an_error(string hex)
    {
        Assert.False(ConsumerProtocolSubscription.TryRead(Convert.FromHexString(hex), out ConsumerProtocolSubscription? subscription, out string? error));
        Assert.Null(subscription);
        Assert.StartsWith("ConsumerProtocolSubscription", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Records_of_the_offsets_topic_have_the_layout_that_Kafka_reads()
    {
        Assert.Equal(
            "0001" + "000167" + "00066F7264657273" + "00000003",
            Convert.ToHexString(MessageCodec.WriteData(new OffsetCommitKey { Group = "g", Topic = "orders", Partition = 3 }, version: 1)));
        Assert.Equal(
            "0003" + "0000000000001267" + "00000005" + "00016D" + "0000018BCFE56800",
            Convert.ToHexString(MessageCodec.WriteData(
                new OffsetCommitValue { Offset = 4711, LeaderEpoch = 5, Metadata = "m", CommitTimestamp = 1_700_000_000_000 }, version: 3)));
        Assert.Equal("0002" + "000167", Convert.ToHexString(MessageCodec.WriteData(new GroupMetadataKey { Group = "g" }, version: 2)));
        Assert.Throws<ArgumentException>(() => MessageCodec.WriteData(new GroupMetadataKey { Group = "g" }, version: 1));
    }
}
