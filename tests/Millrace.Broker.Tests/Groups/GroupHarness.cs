using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>Drives one <see cref="ClassicGroup"/> with a clock of its own, and keeps what it answered.</summary>
internal sealed class GroupHarness
{
    private readonly List<GroupEffect> _effects = [];
    private long _lastRequestId;
    private int _lastMemberNumber;

    public GroupHarness(GroupSettings? settings = null)
    {
        Settings = settings ?? new GroupSettings();
        Group = new ClassicGroup("g", Settings, NextSuffix);
    }

    public GroupSettings Settings { get; }
    public ClassicGroup Group { get; private set; }
    public TimeSpan Now { get; private set; }
    public Dictionary<long, JoinAnswer> Joins { get; } = [];
    public Dictionary<long, SyncAnswer> Syncs { get; } = [];
    public List<GroupSnapshot> Snapshots { get; } = [];
    public List<long> SnapshotNumbers { get; } = [];
    public List<GroupNoted> Notes { get; } = [];

    /// <summary>Whether a snapshot counts as on disk as soon as it is taken.</summary>
    public bool PersistsAtOnce { get; set; } = true;

    public string NextSuffix() => (++_lastMemberNumber).ToString();

    public long Join(
        string memberId = "",
        string[]? protocols = null,
        int session = 10,
        int rebalance = 60,
        string type = "consumer",
        bool requiresId = false,
        string client = "m",
        string metadata = "",
        string host = "",
        string? instance = null,
        bool canSkip = false)
    {
        long id = ++_lastRequestId;
        GroupProtocol[] offered = [.. (protocols ?? ["range"]).Select(name => new GroupProtocol(name, Encoding.UTF8.GetBytes(metadata)))];
        Group.Join(
            new JoinInput
            {
                RequestId = id,
                MemberId = memberId,
                ClientId = client,
                ClientHost = host,
                SessionTimeout = TimeSpan.FromSeconds(session),
                RebalanceTimeout = TimeSpan.FromSeconds(rebalance),
                ProtocolType = type,
                Protocols = offered,
                RequiresKnownMemberId = requiresId,
                InstanceId = instance,
                CanSkipAssignment = canSkip,
            },
            Now,
            _effects);
        CarryOut();
        return id;
    }

    public long Sync(
        string memberId, int generation, string? type = null, string? name = null, string? instance = null, params (string MemberId, string Assignment)[] assignments)
    {
        long id = ++_lastRequestId;
        Group.Sync(
            new SyncInput
            {
                RequestId = id,
                MemberId = memberId,
                InstanceId = instance,
                Generation = generation,
                ProtocolType = type,
                ProtocolName = name,
                Assignments = [.. assignments.Select(pair =>
                    new KeyValuePair<string, byte[]>(pair.MemberId, Encoding.UTF8.GetBytes(pair.Assignment)))],
            },
            Now,
            _effects);
        CarryOut();
        return id;
    }

    public ErrorCode Heartbeat(string memberId, int generation, string? instance = null) => Group.Heartbeat(new MemberName(memberId, instance), generation, Now);

    public ErrorCode Commit(string memberId, int generation, string? instance = null) => Group.CheckCommit(new MemberName(memberId, instance), generation, Now);

    public ErrorCode[] Leave(params string[] memberIds) => Leave([.. memberIds.Select(memberId => new MemberName(memberId))]);

    public ErrorCode[] Leave(params MemberName[] names)
    {
        ErrorCode[] answers = Group.Leave(names, Now, _effects);
        CarryOut();
        return answers;
    }

    /// <summary>The first snapshot of this generation.</summary>
    public void Persisted(int generation, ErrorCode error = ErrorCode.None) =>
        PersistedNumber(SnapshotNumbers[Snapshots.FindIndex(snapshot => snapshot.Generation == generation)], error);

    public void PersistedLast(ErrorCode error = ErrorCode.None) => PersistedNumber(SnapshotNumbers[^1], error);

    private void PersistedNumber(long number, ErrorCode error)
    {
        Group.Persisted(number, error, Now, _effects);
        CarryOut();
    }

    public void Kill()
    {
        Group.Kill(_effects);
        CarryOut();
    }

    /// <summary>Lets time pass, waking the group exactly when it asks to be woken.</summary>
    public void Pass(double seconds)
    {
        TimeSpan end = Now + TimeSpan.FromSeconds(seconds);
        while (Group.WakeAt is TimeSpan wake && wake <= end)
        {
            Now = wake > Now ? wake : Now;
            Group.Tick(Now, _effects);
            CarryOut();
            Assert.True(Group.WakeAt is null || Group.WakeAt > Now, "A deadline that has come is still armed after the tick.");
        }

        Now = end;
    }

    /// <summary>As after a restart of the broker, from the last snapshot.</summary>
    public void Restart() => Group = ClassicGroup.Restore("g", Settings, NextSuffix, Snapshots[^1], Now);

    /// <summary>A stable group of members m-1, m-2, ... with m-1 as its leader and an assignment <c>for m-N</c> each.</summary>
    public static GroupHarness Stable(int memberCount, GroupSettings? settings = null)
    {
        GroupHarness harness = new(settings);
        for (int number = 1; number <= memberCount; number++)
        {
            long join = harness.Join();
            for (int earlier = 1; earlier < number; earlier++)
            {
                harness.Join($"m-{earlier}");
            }

            Assert.Equal(ErrorCode.None, harness.Joins[join].Error);
        }

        harness.SyncAll(memberCount);
        Assert.Equal(GroupState.Stable, harness.Group.State);
        return harness;
    }

    public void SyncAll(int memberCount)
    {
        (string, string)[] assignments = [.. Enumerable.Range(1, memberCount).Select(number => ($"m-{number}", $"for m-{number}"))];
        for (int number = memberCount; number >= 1; number--)
        {
            Sync($"m-{number}", Group.Generation, assignments: number == 1 ? assignments : []);
        }
    }

    public string AssignmentIn(long syncId)
    {
        Assert.Equal(ErrorCode.None, Syncs[syncId].Error);
        return Encoding.UTF8.GetString(Syncs[syncId].Assignment);
    }

    private void CarryOut()
    {
        while (_effects.Count > 0)
        {
            GroupEffect[] batch = [.. _effects];
            _effects.Clear();
            foreach (GroupEffect effect in batch)
            {
                CarryOut(effect);
            }
        }
    }

    private void CarryOut(GroupEffect effect)
    {
        switch (effect)
        {
            case JoinAnswered answered:
                Joins.Add(answered.RequestId, answered.Answer);
                break;
            case SyncAnswered answered:
                Syncs.Add(answered.RequestId, answered.Answer);
                break;
            case GroupNoted noted:
                Notes.Add(noted);
                break;
            case SnapshotTaken taken:
                Snapshots.Add(taken.Snapshot);
                SnapshotNumbers.Add(taken.Number);
                if (PersistsAtOnce)
                {
                    Group.Persisted(taken.Number, ErrorCode.None, Now, _effects);
                }

                break;
            default:
                Assert.Fail($"Unknown effect {effect}");
                break;
        }
    }
}
