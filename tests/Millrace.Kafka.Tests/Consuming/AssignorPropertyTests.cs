using FsCheck;
using FsCheck.Fluent;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>What holds for any group, whatever its members want and claim to own.</summary>
public sealed class AssignorPropertyTests
{
    private const int CaseCount = 500;

    private static readonly string[] TopicNames = ["a", "b", "c", "d", "e"];

    private static readonly Gen<IReadOnlyDictionary<string, int>> Counts =
        Gen.Choose(0, 7).ArrayOf(TopicNames.Length).Select(counts => (IReadOnlyDictionary<string, int>)TopicNames
            .Zip(counts).Where(pair => pair.Second > 0).ToDictionary(pair => pair.First, pair => pair.Second));

    private static readonly Gen<string[]> AnyTopics = Gen.SubListOf(TopicNames).Select(topics => topics.ToArray());

    private static readonly Gen<TopicPartition> AnyPartition =
        from topic in Gen.Elements("a", "b", "c", "d", "e", "gone")
        from partition in Gen.Choose(-1, 8)
        select new TopicPartition(topic, partition);

    /// <summary>A group of any members, which claim whatever they like.</summary>
    private static readonly Gen<Group> AnyGroup =
        from counts in Counts
        from count in Gen.Choose(1, 7)
        from isAlike in Gen.Elements(true, false)
        from alike in AnyTopics
        from topics in AnyTopics.ArrayOf(count)
        from owned in AnyPartition.ListOf().ArrayOf(count)
        from generations in Gen.Choose(-1, 3).ArrayOf(count)
        from instances in Gen.Elements(true, false, false).ArrayOf(count)
        select new Group(counts, [.. Enumerable.Range(0, count).Select(i => new MemberSubscription(
            $"m{i}", instances[i] ? $"i{count - i}" : null, isAlike ? alike : topics[i], [.. owned[i]], generations[i]))]);

    public static TheoryData<PartitionAssignor> All => [.. Enum.GetValues<PartitionAssignor>()];

    [Theory]
    [MemberData(nameof(All))]
    public void Every_partition_that_somebody_wants_has_exactly_one_owner_who_wants_it(PartitionAssignor assignor) => ForAll(AnyGroup, group =>
    {
        Dictionary<string, List<TopicPartition>> assignment = group.Assign(assignor);
        Assert.Equal(group.Members.Select(member => member.MemberId).Order(), assignment.Keys.Order());
        Assert.All(group.Members, member => Assert.All(assignment[member.MemberId], partition => Assert.Contains(partition.Topic, member.Topics)));
        TopicPartition[] given = [.. assignment.Values.SelectMany(partitions => partitions)];
        Assert.Equal(given.Length, given.Distinct().Count());
        TopicPartition[] missing = [.. group.Wanted.Except(given)];
        Assert.Empty(given.Except(group.Wanted));
        if (assignor != PartitionAssignor.CooperativeSticky)
        {
            Assert.Empty(missing);
        }
        else
        {
            // Held back is what somebody claims; and nothing that somebody claims goes to one who does not.
            Assert.All(missing, partition => Assert.Contains(group.Members, member => member.Owned.Contains(partition)));
            Assert.All(group.Members, member => Assert.All(assignment[member.MemberId].Except(member.Owned), partition =>
                Assert.DoesNotContain(group.Members, other => other.Owned.Contains(partition))));
        }
    });

    [Theory]
    [MemberData(nameof(All))]
    public void The_order_in_which_members_are_listed_changes_nothing(PartitionAssignor assignor) => ForAll(AnyGroup, group =>
        Assert.Equal(Text(group.Assign(assignor)), Text(new Group(group.Counts, [.. group.Members.Reverse()]).Assign(assignor))));

    [Fact]
    public void No_member_has_two_more_than_another_that_could_be_reached_with_one_of_them() => ForAll(AnyGroup, group =>
    {
        Dictionary<string, List<TopicPartition>> assignment = group.Assign(PartitionAssignor.Sticky);
        foreach (MemberSubscription rich in group.Members)
        {
            // Whom a partition of the rich one can be moved to, directly or from hand to hand.
            HashSet<MemberSubscription> reached = [rich];
            int reachedBefore;
            do
            {
                reachedBefore = reached.Count;
                string[] topics = [.. reached.SelectMany(member => assignment[member.MemberId]).Select(partition => partition.Topic).Distinct()];
                reached.UnionWith(group.Members.Where(member => member.Topics.Intersect(topics).Any()));
            }
            while (reached.Count > reachedBefore);
            Assert.All(reached, poor => Assert.True(
                assignment[rich.MemberId].Count <= assignment[poor.MemberId].Count + 1, $"{rich.MemberId} and {poor.MemberId} of {Text(assignment)}"));
        }
    });

    [Fact]
    public void A_group_that_has_not_changed_keeps_its_assignment() => ForAll(AnyGroup, group =>
    {
        Dictionary<string, List<TopicPartition>> first = group.Assign(PartitionAssignor.Sticky);
        Assert.Equal(Text(first), Text(group.Owning(first).Assign(PartitionAssignor.Sticky)));
        Assert.Equal(Text(first), Text(group.Owning(first).Assign(PartitionAssignor.CooperativeSticky)));
    });

    [Theory]
    [InlineData(1)]
    [InlineData(200)]
    public void Very_many_partitions_of_members_that_want_different_topics_are_assigned_at_once(int topicCount)
    {
        const int partitionCount = 80_000;
        string[] topics = [.. Enumerable.Range(0, topicCount).Select(index => $"t{index:000}")];
        Dictionary<string, int> counts = topics.ToDictionary(topic => topic, _ => partitionCount / topicCount);
        counts.Add("other", 1);
        TopicPartition[] all = [.. topics.SelectMany(topic => Enumerable.Range(0, counts[topic]).Select(index => new TopicPartition(topic, index)))];

        // One has everything when others come; and then one of those goes, whose partitions are shared out.
        var group = new Group(counts, [.. Enumerable.Range(0, 10).Select(index => new MemberSubscription($"m{index}", null, index == 0 ? topics : [.. topics, "other"], index == 0 ? all : [], 1))]);
        long start = TimeProvider.System.GetTimestamp();
        Dictionary<string, List<TopicPartition>> assignment = group.Assign(PartitionAssignor.Sticky);
        Assert.All(assignment.Values, partitions => Assert.InRange(partitions.Count, partitionCount / 10, (partitionCount / 10) + 1));
        Assert.Superset(assignment["m0"].ToHashSet(), all.ToHashSet());
        assignment = group.Owning(assignment).Without(3).Assign(PartitionAssignor.Sticky);
        Assert.All(assignment.Values, partitions => Assert.InRange(partitions.Count, partitionCount / 9, (partitionCount / 9) + 1));

        // With the square of the number it would be minutes.
        Assert.InRange(TimeProvider.System.GetElapsedTime(start), TimeSpan.Zero, Until.Limit);
    }

    [Fact]
    public void Of_members_that_want_the_same_as_many_partitions_stay_as_balance_allows() => ForAll(AnyGroup, group =>
    {
        Group alike = group.Alike();
        Group before = alike.Owning(alike.Assign(PartitionAssignor.RoundRobin));
        foreach (Group after in new[] { before.Without(0), before.With("new"), before.With("new").Without(0) })
        {
            Dictionary<string, List<TopicPartition>> assignment = after.Assign(PartitionAssignor.Sticky);
            int partitionCount = after.Wanted.Count;
            (int share, int extra) = after.Members.Length == 0 ? (0, 0) : Math.DivRem(partitionCount, after.Members.Length);
            int possible = after.Members
                .OrderByDescending(member => member.Owned.Count)
                .Select((member, place) => Math.Min(member.Owned.Count, share + (place < extra ? 1 : 0)))
                .Sum();
            Assert.Equal(possible, after.Members.Sum(member => assignment[member.MemberId].Intersect(member.Owned).Count()));
        }
    });

    [Fact]
    public void Members_that_want_different_topics_lose_nothing_to_one_that_leaves() => ForAll(AnyGroup, group =>
    {
        // A survivor may lose a partition only for one that balance makes it take; with nothing new to take, nothing moves.
        Group before = group.Owning(group.Assign(PartitionAssignor.Sticky));
        Group after = before.Without(0);
        Dictionary<string, List<TopicPartition>> assignment = after.Assign(PartitionAssignor.Sticky);
        if (before.Members[0].Owned.Count == 0)
        {
            Assert.All(after.Members, member => Assert.Equal(member.Owned.Order(Partitions), assignment[member.MemberId].Order(Partitions)));
        }
    });

    [Fact]
    public void Cooperative_rounds_end_with_everything_shared_out_and_nothing_is_ever_owned_twice() => ForAll(AnyGroup, group =>
    {
        Group current = group.Owning(group.Assign(PartitionAssignor.Sticky)).With("x").With("y");
        foreach (Group changed in new[] { current, current.Without(0), current.Without(0).With("z") })
        {
            Group now = changed;
            bool isOver = false;
            for (int round = 0; !isOver; round++)
            {
                Assert.True(round < 3, "The rounds do not end.");
                Dictionary<string, List<TopicPartition>> assignment = now.Assign(PartitionAssignor.CooperativeSticky);

                // The moment in which some have taken over their new partitions and others have not let go of their old ones.
                TopicPartition[] atOnce = [.. now.Members.SelectMany(member => member.Owned.Union(assignment[member.MemberId]))];
                Assert.Equal(atOnce.Length, atOnce.Distinct().Count());
                isOver = now.Members.All(member => !member.Owned.Except(assignment[member.MemberId]).Any());
                now = now.Owning(assignment);
            }

            Assert.Equal(now.Wanted.Count, now.Members.Sum(member => member.Owned.Count));
        }
    });

    private static readonly Comparer<TopicPartition> Partitions = Comparer<TopicPartition>.Create(static (left, right) =>
        string.CompareOrdinal(left.ToString(), right.ToString()));

    private static void ForAll(Gen<Group> groups, Action<Group> holds) =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(CaseCount), Prop.ForAll(groups.ToArbitrary(), holds));

    private static string Text(Dictionary<string, List<TopicPartition>> assignment) =>
        string.Join(" ", assignment.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key}:{string.Join(',', pair.Value.Order(Partitions))}"));

    internal sealed record Group(IReadOnlyDictionary<string, int> Counts, MemberSubscription[] Members)
    {
        /// <summary>Everything that somebody wants and that exists.</summary>
        public IReadOnlyCollection<TopicPartition> Wanted { get; } =
        [
            .. Members.SelectMany(member => member.Topics).Distinct()
                .SelectMany(topic => Enumerable.Range(0, Counts.GetValueOrDefault(topic)).Select(partition => new TopicPartition(topic, partition))),
        ];

        public Dictionary<string, List<TopicPartition>> Assign(PartitionAssignor assignor) => Assignors.Assign(assignor, Members, Counts);

        public Group Owning(Dictionary<string, List<TopicPartition>> assignment) =>
            new(Counts, [.. Members.Select(member => member with { Owned = assignment[member.MemberId], Generation = 5 })]);

        public Group Alike() => new(Counts, [.. Members.Select(member => member with { Topics = Members[0].Topics })]);

        public Group Without(int index) => new(Counts, [.. Members.Where((_, place) => place != index)]);

        public Group With(string id) => new(Counts, [.. Members, new MemberSubscription(id, null, Members.Length == 0 ? [] : Members[^1].Topics, [], -1)]);

        public override string ToString() =>
            $"{string.Join(' ', Counts)} | {string.Join(" | ", Members.Select(member => $"{member.MemberId} g{member.Generation} wants {string.Join(',', member.Topics)} owns {string.Join(',', member.Owned)}"))}";
    }
}
