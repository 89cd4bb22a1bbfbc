using System.Buffers.Binary;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// How a group's leader shares out partitions. The same input gives the same result on every member. For <c>range</c> and <c>roundrobin</c> it is
/// Java's result; for the sticky ones any result is as good that is balanced and keeps as much, and only the leader's counts.
/// </summary>
internal static class Assignors
{
    public static string NameOf(PartitionAssignor assignor) => assignor switch
    {
        PartitionAssignor.Range => "range",
        PartitionAssignor.RoundRobin => "roundrobin",
        PartitionAssignor.Sticky => "sticky",
        PartitionAssignor.CooperativeSticky => "cooperative-sticky",
        PartitionAssignor.KafkaJsRoundRobin => "RoundRobinAssigner",
        _ => throw new ArgumentOutOfRangeException(nameof(assignor), assignor, "Unknown assignor."),
    };

    public static PartitionAssignor? ByName(string? name) => name switch
    {
        "range" => PartitionAssignor.Range,
        "roundrobin" => PartitionAssignor.RoundRobin,
        "sticky" => PartitionAssignor.Sticky,
        "cooperative-sticky" => PartitionAssignor.CooperativeSticky,
        "RoundRobinAssigner" => PartitionAssignor.KafkaJsRoundRobin,
        _ => null,
    };

    /// <summary>
    /// Whether a member that offers these keeps its partitions through a rebalance. Only if it would whichever the group takes: <c>range</c>
    /// gives a partition away whose owner has not let go of it (KIP-429 decides alike).
    /// </summary>
    public static bool AreCooperative(IReadOnlyList<PartitionAssignor> assignors) =>
        assignors.All(assignor => assignor == PartitionAssignor.CooperativeSticky);

    /// <summary>What a member tells the leader beside its topics and what it owns.</summary>
    /// <param name="assignor">Which assignor the metadata is for.</param>
    /// <param name="previous">The member's latest assignment, also one that it has given up; null before the first.</param>
    /// <param name="generation">The generation of that assignment.</param>
    public static byte[]? UserDataFor(PartitionAssignor assignor, IReadOnlyCollection<TopicPartition>? previous, int generation)
    {
        switch (assignor)
        {
            case PartitionAssignor.Sticky when previous is not null:
                return new StickyUserData { PreviousAssignment = MemberSubscription.Group(previous), GenerationId = generation }.ToBytes();
            case PartitionAssignor.CooperativeSticky:
                byte[] bytes = new byte[sizeof(int)];
                BinaryPrimitives.WriteInt32BigEndian(bytes, generation);
                return bytes;
            default:
                return null;
        }
    }

    /// <summary>Shares out all partitions of all topics that somebody subscribes to.</summary>
    /// <param name="assignor">How.</param>
    /// <param name="members">The members.</param>
    /// <param name="partitionCounts">The topics that exist.</param>
    /// <returns>The partitions of each member; every member has an entry.</returns>
    public static Dictionary<string, List<TopicPartition>> Assign(
        PartitionAssignor assignor,
        IReadOnlyCollection<MemberSubscription> members,
        IReadOnlyDictionary<string, int> partitionCounts)
    {
        MemberSubscription[] sorted = [.. members.Order(MemberOrder)];
        switch (assignor)
        {
            case PartitionAssignor.Range:
                return AssignRanges(sorted, partitionCounts);
            case PartitionAssignor.RoundRobin:
            case PartitionAssignor.KafkaJsRoundRobin:
                return AssignInTurn(sorted, partitionCounts);
            case PartitionAssignor.Sticky:
                return new StickyAssignment(sorted, partitionCounts).Assign();
            case PartitionAssignor.CooperativeSticky:
                Dictionary<string, List<TopicPartition>> assignment = new StickyAssignment(sorted, partitionCounts).Assign();
                HoldBackWhatIsOwned(sorted, assignment);
                return assignment;
            default:
                throw new ArgumentOutOfRangeException(nameof(assignor), assignor, "Unknown assignor.");
        }
    }

    /// <summary>As Java's: static members by their names come first, then the others by their ids, both in ordinal order.</summary>
    private static readonly Comparer<MemberSubscription> MemberOrder = Comparer<MemberSubscription>.Create(static (left, right) =>
        (left.InstanceId, right.InstanceId) switch
        {
            (not null, not null) when !string.Equals(left.InstanceId, right.InstanceId, StringComparison.Ordinal) =>
                string.CompareOrdinal(left.InstanceId, right.InstanceId),
            (not null, null) => -1,
            (null, not null) => 1,
            _ => string.CompareOrdinal(left.MemberId, right.MemberId),
        });

    private static Dictionary<string, List<TopicPartition>> Nothing(MemberSubscription[] members) =>
        members.ToDictionary(member => member.MemberId, _ => new List<TopicPartition>());

    private static string[] TopicsOf(MemberSubscription[] members, IReadOnlyDictionary<string, int> partitionCounts) =>
        [.. members.SelectMany(member => member.Topics).Distinct().Where(partitionCounts.ContainsKey).Order(StringComparer.Ordinal)];

    private static Dictionary<string, List<TopicPartition>> AssignRanges(
        MemberSubscription[] members, IReadOnlyDictionary<string, int> partitionCounts)
    {
        Dictionary<string, List<TopicPartition>> assignment = Nothing(members);
        foreach (string topic in TopicsOf(members, partitionCounts))
        {
            MemberSubscription[] subscribers = [.. members.Where(member => member.Topics.Contains(topic))];
            int share = partitionCounts[topic] / subscribers.Length;
            int extra = partitionCounts[topic] % subscribers.Length;
            int next = 0;
            for (int i = 0; i < subscribers.Length; i++)
            {
                int count = share + (i < extra ? 1 : 0);
                assignment[subscribers[i].MemberId].AddRange(
                    Enumerable.Range(next, count).Select(partition => new TopicPartition(topic, partition)));
                next += count;
            }
        }

        return assignment;
    }

    private static Dictionary<string, List<TopicPartition>> AssignInTurn(
        MemberSubscription[] members, IReadOnlyDictionary<string, int> partitionCounts)
    {
        Dictionary<string, List<TopicPartition>> assignment = Nothing(members);
        int turn = 0;
        foreach (string topic in TopicsOf(members, partitionCounts))
        {
            for (int partition = 0; partition < partitionCounts[topic]; partition++)
            {
                while (!members[turn % members.Length].Topics.Contains(topic))
                {
                    turn++;
                }

                assignment[members[turn++ % members.Length].MemberId].Add(new TopicPartition(topic, partition));
            }
        }

        return assignment;
    }

    /// <summary>
    /// What goes from one member to another is given to nobody in this generation: its owner finds it missing, gives it up and joins again, and
    /// the next generation gives it away (KIP-429). Claims of any generation count, since who claims a partition reads it.
    /// </summary>
    private static void HoldBackWhatIsOwned(MemberSubscription[] members, Dictionary<string, List<TopicPartition>> assignment)
    {
        ILookup<TopicPartition, string> owners = members
            .SelectMany(member => member.Owned.Select(partition => (Partition: partition, member.MemberId)))
            .ToLookup(claim => claim.Partition, claim => claim.MemberId);
        foreach ((string memberId, List<TopicPartition> partitions) in assignment)
        {
            partitions.RemoveAll(partition => owners[partition].Any() && !owners[partition].Contains(memberId));
        }
    }
}
