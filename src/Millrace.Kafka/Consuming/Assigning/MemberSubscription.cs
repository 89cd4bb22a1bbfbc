using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What the leader knows of one member when it shares out partitions.</summary>
/// <param name="MemberId">The id that the coordinator gave it.</param>
/// <param name="InstanceId">The name of a static member.</param>
/// <param name="Topics">What it wants; nothing where its metadata could not be read.</param>
/// <param name="Owned">What it owns, or, for the assignor <c>sticky</c>, owned before it gave everything up.</param>
/// <param name="Generation">In which generation it owned that; -1 where it does not say.</param>
internal sealed record MemberSubscription(
    string MemberId,
    string? InstanceId,
    IReadOnlyCollection<string> Topics,
    IReadOnlyCollection<TopicPartition> Owned,
    int Generation)
{
    /// <summary>A member that wants nothing, since nobody can read what it wants.</summary>
    public static MemberSubscription Unreadable(string memberId, string? instanceId) => new(memberId, instanceId, [], [], -1);

    /// <summary>Reads a member's metadata as the assignor needs it.</summary>
    public static MemberSubscription From(JoinGroupMember member, ConsumerProtocolSubscription subscription, PartitionAssignor assignor)
    {
        (IReadOnlyCollection<TopicPartition> owned, int generation) = assignor switch
        {
            PartitionAssignor.Sticky => OwnedBefore(subscription),
            PartitionAssignor.CooperativeSticky => (Flatten(subscription.OwnedPartitions), GenerationOf(subscription)),
            _ => ([], -1),
        };
        return new MemberSubscription(member.MemberId, member.GroupInstanceId, [.. subscription.Topics.Distinct()], owned, generation);
    }

    /// <summary>The lists of the protocol as partitions.</summary>
    public static List<TopicPartition> Flatten(IEnumerable<ConsumerProtocolTopicPartitions> topics) =>
        [.. topics.SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(topic.Topic, partition)))];

    /// <summary>Partitions as lists of the protocol.</summary>
    public static List<ConsumerProtocolTopicPartitions> Group(IEnumerable<TopicPartition> partitions) =>
    [
        .. partitions.GroupBy(partition => partition.Topic).Select(topic => new ConsumerProtocolTopicPartitions
        {
            Topic = topic.Key,
            Partitions = [.. topic.Select(partition => partition.Partition)],
        }),
    ];

    private static (IReadOnlyCollection<TopicPartition> Owned, int Generation) OwnedBefore(ConsumerProtocolSubscription subscription) =>
        subscription.UserData is { Length: > 0 } bytes && StickyUserData.TryRead(bytes, out StickyUserData? data)
            ? (Flatten(data.PreviousAssignment), data.GenerationId)
            : ([], -1);

    /// <summary>
    /// The generation of version 2 (KIP-792). Before it, Java's members have it as their whole user data, and librdkafka's behind the partitions,
    /// as the members of <c>sticky</c> do.
    /// </summary>
    private static int GenerationOf(ConsumerProtocolSubscription subscription)
    {
        if (subscription.GenerationId >= 0 || subscription.UserData is not { Length: > 0 } bytes)
        {
            return subscription.GenerationId;
        }

        return bytes.Length == sizeof(int)
            ? System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(bytes)
            : StickyUserData.TryRead(bytes, out StickyUserData? data) ? data.GenerationId : -1;
    }
}
