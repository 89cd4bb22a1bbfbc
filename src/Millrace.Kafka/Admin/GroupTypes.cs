using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>How the members of a group agree on who reads what.</summary>
public enum GroupType
{
    /// <summary>The broker does not say; those before Kafka 3.8 know none but <see cref="Classic"/>.</summary>
    Unknown,

    /// <summary>One member assigns for all.</summary>
    Classic,

    /// <summary>The coordinator assigns (KIP-848).</summary>
    Consumer,

    /// <summary>Members share partitions (KIP-932).</summary>
    Share,

    /// <summary>Members run a topology (KIP-1071).</summary>
    Streams,
}

/// <summary>What a group is doing.</summary>
public enum GroupState
{
    /// <summary>The broker does not say, or says what this client does not know.</summary>
    Unknown,

    /// <summary>Members are being waited for.</summary>
    PreparingRebalance,

    /// <summary>The assignment is being waited for.</summary>
    CompletingRebalance,

    /// <summary>Each member has its partitions.</summary>
    Stable,

    /// <summary>There is no such group.</summary>
    Dead,

    /// <summary>Nobody is in it; it may have commits.</summary>
    Empty,

    /// <summary>The coordinator computes an assignment (KIP-848).</summary>
    Assigning,

    /// <summary>Members are on their way to their new assignment (KIP-848).</summary>
    Reconciling,

    /// <summary>Topics that it needs are missing (KIP-1071).</summary>
    NotReady,
}

/// <summary>A group in a listing.</summary>
/// <param name="GroupId">Its id.</param>
/// <param name="ProtocolType">What its members speak: <c>consumer</c>, or another word of theirs; empty for groups that only commit.</param>
/// <param name="State">What it is doing; from Kafka 2.6 on.</param>
/// <param name="Type">Its type; from Kafka 3.8 on.</param>
public sealed record GroupListing(string GroupId, string ProtocolType, GroupState State, GroupType Type);

/// <summary>A group.</summary>
/// <param name="GroupId">Its id.</param>
/// <param name="Type">Its type.</param>
/// <param name="State">What it is doing.</param>
/// <param name="ProtocolType">What its members speak: <c>consumer</c>, or another word of theirs.</param>
/// <param name="Assignor">Who assigns the partitions: <c>range</c>, <c>uniform</c>, ...; empty while the group is not stable.</param>
/// <param name="Coordinator">The broker that coordinates it.</param>
/// <param name="Members">Its members.</param>
public sealed record GroupDescription(
    string GroupId,
    GroupType Type,
    GroupState State,
    string ProtocolType,
    string Assignor,
    BrokerAddress Coordinator,
    IReadOnlyList<GroupMemberDescription> Members)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(GroupDescription), (nameof(GroupId), GroupId), (nameof(Type), Type), (nameof(State), State), (nameof(ProtocolType), ProtocolType), (nameof(Assignor), Assignor), (nameof(Coordinator), Coordinator), (nameof(Members), Members));
}

/// <summary>A member of a group.</summary>
/// <param name="MemberId">The id that it has from the coordinator, or made up itself.</param>
/// <param name="GroupInstanceId">The id that it keeps from start to start (KIP-345), or null.</param>
/// <param name="ClientId">What its client calls itself.</param>
/// <param name="ClientHost">The address that it comes from.</param>
/// <param name="Topics">What it subscribes to; empty if it does not speak the protocol of consumers.</param>
/// <param name="Assignment">Its partitions; empty if it does not speak the protocol of consumers.</param>
public sealed record GroupMemberDescription(
    string MemberId,
    string? GroupInstanceId,
    string ClientId,
    string ClientHost,
    IReadOnlyList<string> Topics,
    IReadOnlyList<TopicPartition> Assignment)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(GroupMemberDescription), (nameof(MemberId), MemberId), (nameof(GroupInstanceId), GroupInstanceId), (nameof(ClientId), ClientId), (nameof(ClientHost), ClientHost), (nameof(Topics), Topics), (nameof(Assignment), Assignment));
}

/// <summary>What a group has committed.</summary>
/// <param name="Offsets">The commits; partitions without one are absent.</param>
/// <param name="Failures">Why a partition's commit could not be told.</param>
public sealed record GroupOffsets(
    IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> Offsets, IReadOnlyDictionary<TopicPartition, KafkaException> Failures)
{
    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(GroupOffsets), (nameof(Offsets), Offsets), (nameof(Failures), Failures));
}
