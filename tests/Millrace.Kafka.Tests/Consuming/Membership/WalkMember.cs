using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>One member of a <see cref="GroupWalk"/>, and what its application has in hands.</summary>
internal sealed class WalkMember
{
    public static readonly TimeSpan SessionTimeout = TimeSpan.FromSeconds(3);
    public static readonly TimeSpan RebalanceTimeout = TimeSpan.FromSeconds(8);

    private static readonly BrokerAddress Coordinator = new("b", 1);

    private readonly MembershipHarness _harness;
    private readonly WalkSabotage _sabotage;
    private RebalanceCall? _heard;

    public WalkMember(string name, PartitionAssignor assignor, WalkSabotage sabotage, int partitionCount)
    {
        Name = name;
        _sabotage = sabotage;
        _harness = new MembershipHarness(new ConsumerOptions
        {
            Assignors = [assignor],
            SessionTimeout = SessionTimeout,
            HeartbeatInterval = TimeSpan.FromSeconds(1),
            RebalanceTimeout = RebalanceTimeout,
        });
        Machine.Subscribe(["t"]);
        Look(partitionCount);
    }

    public string Name { get; }

    public ClassicMembership Machine => (ClassicMembership)_harness.Member;

    /// <summary>The id by which it last had a place in the group.</summary>
    public string Id { get; set; } = "";

    /// <summary>Until when its heartbeats do not get through.</summary>
    public TimeSpan CutOffUntil { get; set; }

    /// <summary>Until when its joins and syncs take.</summary>
    public TimeSpan HeldUpUntil { get; set; }

    public HashSet<TopicPartition> Held { get; } = [];

    /// <summary>What the application was told wrongly.</summary>
    public string? Fault { get; private set; }

    public bool IsSettled => Machine.Phase == MemberPhase.Stable && _harness.Notice is null && Held.SetEquals(Machine.Owned);

    public bool IsClosing { get; private set; }

    public void Close()
    {
        IsClosing = true;
        Machine.Close();
    }

    public IReadOnlyList<GroupCall> Advance(TimeSpan now)
    {
        _harness.Now = now;
        _harness.Run();
        Hear();
        return _harness.TakeCalls();
    }

    /// <summary>Its picture of the cluster is renewed.</summary>
    public void Look(int partitionCount)
    {
        _harness.Describe(("t", partitionCount));
        Hear();
    }

    /// <summary>The leader's look at the topics is over.</summary>
    public void EndLookUp(int partitionCount, bool isFailure)
    {
        if (_harness.TopicsToFind is not null)
        {
            Look(partitionCount);
            _harness.FindTopics(isFailure ? new KafkaConnectionException("lost") : null);
            Hear();
        }
    }

    /// <summary>The application is done with what it was told.</summary>
    public void EndNotice()
    {
        if (_harness.Notice is { } notice)
        {
            if (notice.Notice == RebalanceNotice.Revoked)
            {
                Held.ExceptWith(notice.Partitions);
            }

            _harness.EndNotice();
            Hear();
        }
    }

    public void Receive(GroupCall call, IMessage response)
    {
        Machine.Answered(call, response, Coordinator, _harness.Now);
        _harness.Run();
        Hear();
    }

    public void Fail(GroupCall call)
    {
        Machine.Failed(call, new KafkaConnectionException("lost"), _harness.Now);
        _harness.Run();
        Hear();
    }

    public override string ToString() =>
        $"{Name}, known as '{Id}', is {Machine.Phase}, owns {Machine.Owned.Count} and holds {MembershipHarness.Text(Held)}; it hears {_harness.Notice?.Notice}";

    private void Hear()
    {
        if (_harness.Notice is { } notice && notice != _heard)
        {
            _heard = notice;
            Hear(notice);
            if (_sabotage == WalkSabotage.TellsTwice)
            {
                Hear(notice);
            }
        }
    }

    private void Hear(RebalanceCall call)
    {
        bool isWrong = call.Notice == RebalanceNotice.Assigned ? call.Partitions.Any(Held.Contains) : !call.Partitions.All(Held.Contains);
        if (isWrong)
        {
            Fault ??= $"{Name} has {MembershipHarness.Text(Held)} and was told {call.Notice} {MembershipHarness.Text(call.Partitions)}.";
        }

        if (call.Notice == RebalanceNotice.Assigned)
        {
            Held.UnionWith(call.Partitions);
        }
        else if (call.Notice == RebalanceNotice.Lost)
        {
            Held.ExceptWith(call.Partitions);
        }
    }
}
