namespace Millrace.Kafka;

/// <summary>Where a member of the classic protocol is in its round.</summary>
internal enum MemberPhase
{
    /// <summary>No member, and nothing is owned.</summary>
    Unjoined,

    /// <summary>Lets go of what has to go before the join, or waits for the next attempt.</summary>
    Preparing,

    /// <summary>JoinGroup is out; the coordinator waits for the others.</summary>
    Joining,

    /// <summary>The leader looks up the topics that the members want.</summary>
    Assigning,

    /// <summary>SyncGroup is out.</summary>
    Syncing,

    /// <summary>In the generation, with an assignment.</summary>
    Stable,

    /// <summary>Lets go of everything for good.</summary>
    Closing,

    /// <summary>LeaveGroup is out.</summary>
    Leaving,
}
