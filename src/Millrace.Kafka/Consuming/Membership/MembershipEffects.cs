using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What the application is told of partitions.</summary>
internal enum RebalanceNotice
{
    /// <summary>They have come.</summary>
    Assigned,

    /// <summary>They are about to go; the member is done with them when the call is over.</summary>
    Revoked,

    /// <summary>They are gone already.</summary>
    Lost,
}

/// <summary>One call to the application. Calls do not overlap.</summary>
/// <param name="Notice">What it is told.</param>
/// <param name="Partitions">Of which partitions.</param>
/// <param name="Topics">Of what has come: the subscription that the group has shared out by.</param>
internal sealed record RebalanceCall(RebalanceNotice Notice, IReadOnlyCollection<TopicPartition> Partitions, IReadOnlyCollection<string>? Topics = null);

/// <summary>What a membership wants done outside of its lock.</summary>
internal sealed class MembershipEffects
{
    /// <summary>Questions to the coordinator; each is answered with <see cref="Membership.Answered"/> or <see cref="Membership.Failed"/>.</summary>
    public List<GroupCall> Calls { get; } = [];

    /// <summary>A call to the application, to be followed by <see cref="Membership.NoticeEnded"/>.</summary>
    public RebalanceCall? Notice { get; set; }

    /// <summary>Partitions that are gone, though the application hears of it only after the call that runs. Nothing more of them is to be handed out.</summary>
    public IReadOnlyCollection<TopicPartition>? Lost { get; set; }

    /// <summary>The call to the application that runs has no time left.</summary>
    public bool CancelsNotice { get; set; }

    /// <summary>The subscription is in place, whether or not it brought anything.</summary>
    public bool IsInPlace { get; set; }

    /// <summary>Topics that the leader needs the partitions of, to be followed by <see cref="Membership.TopicsFound"/>.</summary>
    public IReadOnlyCollection<string>? TopicsToFind { get; set; }

    /// <summary>Topics that are known by their ids only.</summary>
    public IReadOnlyCollection<Guid>? TopicIdsToFind { get; set; }

    /// <summary>Topics whose partitions are wanted in the picture of the cluster from now on.</summary>
    public List<string> TopicsToTrack { get; } = [];

    public bool NeedsMetadata { get; set; }

    /// <summary>What the application is to be told, though the member goes on.</summary>
    public Exception? Refusal { get; set; }

    public TimeSpan? WakeAt { get; private set; }

    public void WakeNoLaterThan(TimeSpan time) => WakeAt = WakeAt is { } earlier && earlier < time ? earlier : time;
}
