namespace Millrace.Broker;

/// <summary>Where a group of the classic protocol stands. Names and meaning are Kafka's.</summary>
internal enum GroupState
{
    /// <summary>No members. Offsets may still be committed to it.</summary>
    Empty,

    /// <summary>Waiting for every member to send JoinGroup.</summary>
    PreparingRebalance,

    /// <summary>A generation exists; waiting for the leader's assignment, and for it to be on disk.</summary>
    CompletingRebalance,

    /// <summary>Every member of the generation has an assignment.</summary>
    Stable,

    /// <summary>No longer in the coordinator: a request that still holds the object looks the group up again.</summary>
    Dead,
}
