namespace Millrace.Cli.Doctor;

/// <summary>A rule of production practice.</summary>
/// <param name="Name">Its name, which findings bear.</param>
/// <param name="Question">What it makes sure of.</param>
/// <param name="Check">What it finds in a cluster.</param>
internal sealed record DoctorRule(string Name, string Question, Func<ClusterSnapshot, RemedyContext, IEnumerable<Finding>> Check);

/// <summary>Every rule, in the order in which findings of one severity are told.</summary>
internal static class DoctorRules
{
    public const int WantedReplicas = 3;
    public const int WantedInSyncReplicas = 2;

    public static IReadOnlyList<DoctorRule> All { get; } =
    [
        new("single-node", "Is there more than one node?", ClusterRules.SingleNode),
        new("broker-count", "Are there brokers enough for three replicas, and are all of them up?", ClusterRules.BrokerCount),
        new("offline-partitions", "Does each partition have a leader?", ReplicaRules.Offline),
        new("under-min-isr", "Are so many replicas in sync that acks=all is taken?", ReplicaRules.UnderMinimum),
        new("under-replicated", "Are all replicas in sync?", ReplicaRules.UnderReplicated),
        new("replication-factor", "Does each topic have three replicas?", ReplicaRules.ReplicationFactor),
        new("min-insync-replicas", "Does acks=all wait for two replicas, and can one be missing?", ReplicaRules.MinInSyncReplicas),
        new("unclean-leader-election", "Is no replica elected that lacks records?", ReplicaRules.UncleanElection),
        new("internal-topics", "Are Kafka's own topics as safe as yours?", ReplicaRules.InternalTopics),
        new("broker-defaults", "Are topics safe whose creator says nothing?", ClusterRules.BrokerDefaults),
        new("preferred-leaders", "Do partitions have the leaders that they should have?", LeaderRules.Preferred),
        new("leader-spread", "Is the work spread over the brokers?", LeaderRules.Spread),
        new("rack-awareness", "Does a rack that fails leave a replica?", PlacementRules.Racks),
        new("power-failure", "What is acknowledged when all replicas lose power at once?", PlacementRules.PageCache),
        new("disks", "Do the disks work, and is there room?", ClusterRules.Disks),
        new("reassignments", "Is nothing on the move?", ClusterRules.Reassignments),
        new("auto-create-topics", "Does a misspelt name create no topic?", ClusterRules.AutoCreate),
        new("message-size", "Do the limits for messages fit together?", MessageRules.Sizes),
        new("partitions-for-workers", "Does each member of a group have something to do?", GroupRules.IdleMembers),
        new("retention-against-lag", "Is no group about to lose what it has not read?", RetentionRules.Lag),
        new("clock-skew", "Do the clocks agree?", ClockRules.Skew),
        new("future-records", "Are no records from the future?", ClockRules.Future),
        new("producer-settings", "Do the application's producers use acks=all and idempotence?", ProducerRules.Settings),
        new("idempotent-writes", "Is what is being written written by idempotent producers?", ProducerRules.Writes),
        new("gaps", "Could everything be looked at?", ClusterRules.Gaps),
    ];

    /// <summary>All findings, the worst first.</summary>
    public static IReadOnlyList<Finding> Examine(ClusterSnapshot cluster, RemedyContext remedies) =>
        [.. All.SelectMany(rule => rule.Check(cluster, remedies)).OrderByDescending(finding => finding.Severity)];
}
