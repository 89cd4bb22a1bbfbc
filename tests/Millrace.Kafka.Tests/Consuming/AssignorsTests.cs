using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Small cases with known results; those of range and round-robin are Java's.</summary>
public sealed class AssignorsTests
{
    [Fact]
    public void Range_gives_the_first_members_one_more_and_the_same_range_of_each_topic()
    {
        Dictionary<string, List<TopicPartition>> result = Assign(PartitionAssignor.Range, new() { ["b"] = ["t", "u"], ["a"] = ["t", "u"] }, ("t", 3), ("u", 3));
        Assert.Equal("t-0,t-1,u-0,u-1", Text(result["a"]));
        Assert.Equal("t-2,u-2", Text(result["b"]));
    }

    [Fact]
    public void Range_leaves_out_who_does_not_subscribe_and_members_beyond_the_partitions()
    {
        Dictionary<string, List<TopicPartition>> result = Assign(
            PartitionAssignor.Range, new() { ["a"] = ["t"], ["b"] = ["u"], ["c"] = ["t"], ["d"] = ["t", "missing"] }, ("t", 2), ("u", 1));
        Assert.Equal(["t-0", "u-0", "t-1", ""], new[] { "a", "b", "c", "d" }.Select(member => Text(result[member])));
    }

    [Theory]
    [InlineData(PartitionAssignor.RoundRobin)]
    [InlineData(PartitionAssignor.KafkaJsRoundRobin)]
    public void Round_robin_deals_out_all_partitions_in_turn(PartitionAssignor assignor)
    {
        Dictionary<string, List<TopicPartition>> result = Assign(assignor, new() { ["a"] = ["t", "u"], ["b"] = ["t", "u"] }, ("t", 3), ("u", 3));
        Assert.Equal(["t-0,t-2,u-1", "t-1,u-0,u-2"], [Text(result["a"]), Text(result["b"])]);
    }

    [Fact]
    public void Round_robin_passes_over_members_that_do_not_subscribe()
    {
        // The example in the documentation of Java's RoundRobinAssignor.
        Dictionary<string, List<TopicPartition>> result = Assign(
            PartitionAssignor.RoundRobin, new() { ["c0"] = ["t0"], ["c1"] = ["t0", "t1"], ["c2"] = ["t0", "t1", "t2"] }, ("t0", 1), ("t1", 2), ("t2", 3));
        Assert.Equal(["t0-0", "t1-0", "t1-1,t2-0,t2-1,t2-2"], new[] { "c0", "c1", "c2" }.Select(member => Text(result[member])));
    }

    [Theory]
    [InlineData(PartitionAssignor.Range, "t-0,t-1", "t-2", "t-3", "t-4")]
    [InlineData(PartitionAssignor.RoundRobin, "t-0,t-4", "t-1", "t-2", "t-3")]
    public void Static_members_come_first_in_the_order_of_their_names_whatever_their_ids_are(PartitionAssignor assignor, params string[] expected)
    {
        Dictionary<string, List<TopicPartition>> result = Assignors.Assign(
            assignor,
            [
                new MemberSubscription("a", null, ["t"], [], -1),
                new MemberSubscription("z", "i1", ["t"], [], -1),
                new MemberSubscription("y", "i2", ["t"], [], -1),
                new MemberSubscription("b", null, ["t"], [], -1),
            ],
            new Dictionary<string, int> { ["t"] = 5 });
        Assert.Equal(expected, new[] { "z", "y", "a", "b" }.Select(member => Text(result[member])));
    }

    [Fact]
    public void Sticky_is_more_balanced_than_round_robin_and_keeps_what_the_ones_that_stay_had()
    {
        // The second example in the documentation of Java's StickyAssignor, before and after c0 leaves.
        MemberSubscription[] members = [Member("c0", ["t0"]), Member("c1", ["t0", "t1"]), Member("c2", ["t0", "t1", "t2"])];
        var counts = new Dictionary<string, int> { ["t0"] = 1, ["t1"] = 2, ["t2"] = 3 };
        Dictionary<string, List<TopicPartition>> before = Assignors.Assign(PartitionAssignor.Sticky, members, counts);
        Assert.Equal(["t0-0", "t1-0,t1-1", "t2-0,t2-1,t2-2"], members.Select(member => Text(before[member.MemberId])));

        Dictionary<string, List<TopicPartition>> after = Assignors.Assign(
            PartitionAssignor.Sticky, [.. members[1..].Select(member => member with { Owned = before[member.MemberId], Generation = 1 })], counts);
        Assert.Equal(["t0-0,t1-0,t1-1", "t2-0,t2-1,t2-2"], [Text(after["c1"]), Text(after["c2"])]);
    }

    [Fact]
    public void Of_two_that_claim_a_partition_the_one_of_the_newer_generation_keeps_it_and_of_one_generation_neither_has_a_better_claim()
    {
        TopicPartition[] claim = [new("t", 0), new("t", 1)];
        var counts = new Dictionary<string, int> { ["t"] = 2 };
        Dictionary<string, List<TopicPartition>> newer = Assignors.Assign(
            PartitionAssignor.Sticky, [Member("a", ["t"], claim, 3), Member("b", ["t"], [new("t", 0)], 4)], counts);
        Assert.Equal(["t-1", "t-0"], [Text(newer["a"]), Text(newer["b"])]);

        Dictionary<string, List<TopicPartition>> cooperative = Assignors.Assign(
            PartitionAssignor.CooperativeSticky, [Member("a", ["t"], claim, 4), Member("b", ["t"], claim, 4), Member("c", ["t"])], counts);
        Assert.Equal("", Text(cooperative["c"]));
        Assert.Equal(2, cooperative["a"].Concat(cooperative["b"]).Distinct().Count());
    }

    [Fact]
    public void Cooperative_gives_away_only_what_its_owner_has_let_go_of()
    {
        var counts = new Dictionary<string, int> { ["t"] = 4 };
        TopicPartition[] all = [new("t", 0), new("t", 1), new("t", 2), new("t", 3)];
        Dictionary<string, List<TopicPartition>> first = Assignors.Assign(
            PartitionAssignor.CooperativeSticky, [Member("old", ["t"], all, 1), Member("new", ["t"])], counts);
        Assert.Equal(["t-0,t-1", ""], [Text(first["old"]), Text(first["new"])]);

        Dictionary<string, List<TopicPartition>> second = Assignors.Assign(
            PartitionAssignor.CooperativeSticky, [Member("old", ["t"], first["old"], 2), Member("new", ["t"], [], 2)], counts);
        Assert.Equal(["t-0,t-1", "t-2,t-3"], [Text(second["old"]), Text(second["new"])]);
    }

    [Fact]
    public void What_a_member_owned_is_read_as_java_and_librdkafka_write_it()
    {
        TopicPartition[] owned = [new("t", 1), new("t", 2), new("u", 0)];
        byte[] sticky = Convert.FromHexString("00000002" + "000174" + "00000002" + "00000001" + "00000002" + "000175" + "00000001" + "00000000" + "00000007");
        Assert.Equal(sticky, Assignors.UserDataFor(PartitionAssignor.Sticky, owned, 7));
        Assert.Null(Assignors.UserDataFor(PartitionAssignor.Sticky, null, 7));
        Assert.Equal([0, 0, 0, 9], Assignors.UserDataFor(PartitionAssignor.CooperativeSticky, owned, 9)!);

        MemberSubscription read = Read(PartitionAssignor.Sticky, new ConsumerProtocolSubscription { Topics = ["t"], UserData = sticky });
        Assert.Equal((7, 3), (read.Generation, read.Owned.Count));
        MemberSubscription version0 = Read(PartitionAssignor.Sticky, new ConsumerProtocolSubscription { Topics = ["t"], UserData = sticky[..^4] });
        Assert.Equal((-1, 3), (version0.Generation, version0.Owned.Count));
        Assert.Empty(Read(PartitionAssignor.Sticky, new ConsumerProtocolSubscription { Topics = ["t"], UserData = [1, 2, 3] }).Owned);

        // Version 1 of the subscription has no generation: Java's is the whole user data, librdkafka's stands behind the partitions.
        var versionOne = new ConsumerProtocolSubscription { Topics = ["t"], OwnedPartitions = MemberSubscription.Group(owned), UserData = [0, 0, 0, 5] };
        Assert.Equal((5, 3), (Read(PartitionAssignor.CooperativeSticky, versionOne).Generation, Read(PartitionAssignor.CooperativeSticky, versionOne).Owned.Count));
        versionOne.UserData = sticky;
        Assert.Equal(7, Read(PartitionAssignor.CooperativeSticky, versionOne).Generation);
        versionOne.GenerationId = 8;
        Assert.Equal(8, Read(PartitionAssignor.CooperativeSticky, versionOne).Generation);
    }

    [Theory]
    [InlineData(true, PartitionAssignor.CooperativeSticky)]
    [InlineData(false, PartitionAssignor.CooperativeSticky, PartitionAssignor.Range)]
    [InlineData(false, PartitionAssignor.Range, PartitionAssignor.CooperativeSticky)]
    [InlineData(false, PartitionAssignor.Sticky)]
    public void A_list_is_cooperative_only_if_everything_in_it_is(bool isCooperative, params PartitionAssignor[] assignors) =>
        Assert.Equal(isCooperative, Assignors.AreCooperative(assignors));

    [Fact]
    public void Every_assignor_has_a_name_of_its_own_that_leads_back_to_it()
    {
        PartitionAssignor[] all = Enum.GetValues<PartitionAssignor>();
        Assert.Equal(all, all.Select(assignor => Assignors.ByName(Assignors.NameOf(assignor))!.Value));
        Assert.Null(Assignors.ByName("unknown"));
    }

    private static MemberSubscription Read(PartitionAssignor assignor, ConsumerProtocolSubscription subscription) =>
        MemberSubscription.From(new JoinGroupMember { MemberId = "m" }, subscription, assignor);

    private static MemberSubscription Member(string id, string[] topics, IReadOnlyCollection<TopicPartition>? owned = null, int generation = -1) =>
        new(id, null, topics, owned ?? [], generation);

    private static Dictionary<string, List<TopicPartition>> Assign(
        PartitionAssignor assignor, Dictionary<string, string[]> subscriptions, params (string Topic, int Count)[] topics) =>
        Assignors.Assign(
            assignor,
            [.. subscriptions.Select(pair => Member(pair.Key, pair.Value))],
            topics.ToDictionary(topic => topic.Topic, topic => topic.Count));

    private static string Text(List<TopicPartition> partitions) => string.Join(',', partitions);
}
