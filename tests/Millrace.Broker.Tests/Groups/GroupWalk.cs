using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>What a control spoils between the group and the checks, to show that the checks can fail.</summary>
public enum WalkSabotage
{
    None,
    LosesAnAnswer,
    AnswersTwice,
    ForgetsToWake,
    TellsTwoMembersThatTheyLead,
    AnswersBeforeTheDisk,
}

/// <summary>A random walk over a <see cref="ClassicGroup"/>, checked after every step. The same seed gives the same walk.</summary>
internal sealed class GroupWalk
{
    private const int StepCount = 300;
    private const int ClientCount = 12;
    private static readonly string[][] s_protocols = [["range"], ["range", "sticky"], ["sticky", "range"], ["sticky", "range", "odd"]];

    private readonly Random _random;
    private readonly WalkSabotage _sabotage;
    private readonly ClassicGroup _group;
    private readonly List<GroupEffect> _effects = [];
    private readonly List<string> _knownIds = [];
    private readonly HashSet<long> _waitingJoins = [];
    private readonly HashSet<long> _waitingSyncs = [];
    private readonly Dictionary<long, (string MemberId, int Generation)> _syncs = [];
    private readonly Dictionary<string, int> _toldGeneration = [];
    private readonly Dictionary<int, string> _leaders = [];
    private readonly Queue<SnapshotTaken> _unwritten = [];
    private readonly HashSet<int> _written = [];
    private readonly HashSet<string> _writtenIds = [];
    private TimeSpan _now;
    private long _lastRequestId;
    private int _lastSuffix;
    private int _lastGeneration;
    private int _answerCount;

    public GroupWalk(int seed, WalkSabotage sabotage = WalkSabotage.None)
    {
        _random = new Random(seed);
        _sabotage = sabotage;
        GroupSettings settings = new()
        {
            InitialRebalanceDelay = TimeSpan.FromSeconds(seed % 3),
            MaxSize = seed % 5 == 0 ? 3 : int.MaxValue,
        };
        _group = new ClassicGroup("g", settings, () => (++_lastSuffix).ToString());
    }

    public ulong Hash { get; private set; } = 14695981039346656037UL;
    public int StableCount { get; private set; }
    public int ExpiryCount { get; private set; }
    public int KeptPlaceCount { get; private set; }

    public void Run()
    {
        for (int step = 0; step < StepCount; step++)
        {
            Step();
            CarryOut();
            CheckInvariants();
        }

        FallSilent();
    }

    private void Step()
    {
        // Half of the time somebody does what the group waits for; pure chance hardly ever gets a group stable.
        if (_random.Next(2) == 0 && _group.Members.FirstOrDefault(member => !member.IsParked) is GroupMember waitedFor)
        {
            if (_group.State == GroupState.PreparingRebalance)
            {
                Join(waitedFor.MemberId, _random.Next(3) == 0 ? null : waitedFor.InstanceId);
                return;
            }

            if (_group.State == GroupState.CompletingRebalance)
            {
                Sync(waitedFor.MemberId, _group.Generation);
                return;
            }
        }

        if (_group.State == GroupState.Stable && _random.Next(8) == 0 && _group.Members.FirstOrDefault(member => member.InstanceId is not null) is GroupMember restarted)
        {
            Join("", restarted.InstanceId);
            return;
        }

        switch (_random.Next(20))
        {
            case < 3:
                Join(_knownIds.Count < ClientCount && _random.Next(3) == 0 ? "" : AnyId());
                break;
            case < 5:
                Join(_random.Next(2) == 0 ? "" : AnyId(), AnyInstance());
                break;
            case < 10:
                string syncing = AnyId();
                Sync(syncing, GenerationOf(syncing));
                break;
            case < 13:
                string beating = AnyId();
                _group.Heartbeat(Name(beating), GenerationOf(beating), _now);
                break;
            case 13:
                string committing = AnyId();
                _group.CheckCommit(Name(committing), GenerationOf(committing), _now);
                break;
            case 14:
                _group.Leave(_random.Next(2) == 0 ? [Name(AnyId())] : [new MemberName("", AnyInstance()), Name(AnyId())], _now, _effects);
                break;
            case < 18:
                Write();
                break;
            default:
                Pass(TimeSpan.FromSeconds(_random.Next(8) + _random.NextDouble()));
                break;
        }
    }

    private string AnyId() => _knownIds.Count == 0 || _random.Next(40) == 0 ? "stranger" : _knownIds[_random.Next(_knownIds.Count)];

    private string AnyInstance() => $"static{_random.Next(3)}";

    private MemberName Name(string memberId) => new(memberId, _random.Next(3) == 0 ? AnyInstance() : null);

    /// <summary>What stays of a member's id when a static member comes back and gets another one.</summary>
    private static string Lasting(string memberId) => memberId.StartsWith("static", StringComparison.Ordinal) ? memberId[.."static0".Length] : memberId;

    private int GenerationOf(string memberId) =>
        _random.Next(20) == 0 ? _random.Next(10) : _toldGeneration.GetValueOrDefault(memberId, -1);

    private void Join(string memberId, string? instanceId = null)
    {
        long id = ++_lastRequestId;
        _waitingJoins.Add(id);
        _group.Join(
            new JoinInput
            {
                RequestId = id,
                MemberId = memberId,
                InstanceId = instanceId,
                ClientId = "c",
                SessionTimeout = TimeSpan.FromSeconds(6 + _random.Next(10)),
                RebalanceTimeout = TimeSpan.FromSeconds(_random.Next(40)),
                ProtocolType = _random.Next(30) == 0 ? "connect" : "consumer",
                Protocols = [.. s_protocols[_random.Next(s_protocols.Length)]
                    .Select(name => new GroupProtocol(name, new byte[] { (byte)_random.Next(2) }))],
                RequiresKnownMemberId = _random.Next(2) == 0,
                CanSkipAssignment = _random.Next(2) == 0,
            },
            _now,
            _effects);
    }

    private void Sync(string memberId, int generation)
    {
        long id = ++_lastRequestId;
        _waitingSyncs.Add(id);
        _syncs[id] = (memberId, generation);
        KeyValuePair<string, byte[]>[] assignments =
        [
            .. _knownIds.Select(known => new KeyValuePair<string, byte[]>(known, Assignment(known, generation))),
        ];
        SyncInput request = new() { RequestId = id, MemberId = memberId, Generation = generation, Assignments = assignments };
        _group.Sync(request, _now, _effects);
    }

    private static byte[] Assignment(string memberId, int generation) => Encoding.UTF8.GetBytes($"{Lasting(memberId)} in {generation}");

    private void Write()
    {
        if (_unwritten.TryDequeue(out SnapshotTaken? taken))
        {
            ErrorCode error = _random.Next(10) == 0 ? ErrorCode.CoordinatorNotAvailable : ErrorCode.None;
            if (error == ErrorCode.None)
            {
                _written.Add(taken.Snapshot.Generation);
                _writtenIds.UnionWith(taken.Snapshot.Members.Select(member => member.MemberId));
            }

            _group.Persisted(taken.Number, error, _now, _effects);
        }
    }

    private void Pass(TimeSpan span)
    {
        TimeSpan end = _now + span;
        while (_sabotage != WalkSabotage.ForgetsToWake && _group.WakeAt is TimeSpan wake && wake <= end)
        {
            Require(wake >= _now, $"the group asks to be woken at {wake}, which is before {_now}");
            _now = wake;
            _group.Tick(_now, _effects);
            CarryOut();
            Require(_group.WakeAt is not TimeSpan next || next > _now, "a deadline that has come is still armed");
        }

        _now = end;
    }

    /// <summary>Nobody says anything any more: everyone who waits is answered, the group empties, and no deadline is left.</summary>
    private void FallSilent()
    {
        for (int round = 0; round < 20; round++)
        {
            while (_unwritten.Count > 0)
            {
                Write();
                CarryOut();
            }

            Pass(TimeSpan.FromMinutes(10));
            CheckInvariants();
        }

        Require(_waitingJoins.Count == 0, $"{_waitingJoins.Count} JoinGroups were never answered");
        Require(_waitingSyncs.Count == 0, $"{_waitingSyncs.Count} SyncGroups were never answered");
        Require(_group.State == GroupState.Empty, $"the silent group is {_group.State}");
        Require(_group.PendingMemberCount == 0, "a silent group still has pending members");
        Require(_group.WakeAt is null, "an empty group still has a deadline");
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
                Mix(effect);
            }
        }
    }

    private void CarryOut(GroupEffect effect)
    {
        switch (effect)
        {
            case JoinAnswered or SyncAnswered:
                int answer = ++_answerCount;
                if (_sabotage == WalkSabotage.LosesAnAnswer && answer == 20)
                {
                    return;
                }

                Answered(effect);
                if (_sabotage == WalkSabotage.AnswersTwice && answer == 20)
                {
                    Answered(effect);
                }

                break;
            case SnapshotTaken taken:
                _unwritten.Enqueue(taken);
                if (_sabotage == WalkSabotage.AnswersBeforeTheDisk)
                {
                    _group.Persisted(taken.Number, ErrorCode.None, _now, _effects);
                }

                break;
            case GroupNoted noted:
                StableCount += noted.Note == GroupNote.GenerationStable ? 1 : 0;
                ExpiryCount += noted.Note == GroupNote.MemberExpired ? 1 : 0;
                break;
            default:
                Require(false, $"unknown effect {effect}");
                break;
        }
    }

    private void Answered(GroupEffect effect)
    {
        if (effect is JoinAnswered join)
        {
            Require(_waitingJoins.Remove(join.RequestId), $"JoinGroup {join.RequestId} is answered, and does not wait");
            CheckJoin(join.Answer);
        }
        else if (effect is SyncAnswered sync)
        {
            Require(_waitingSyncs.Remove(sync.RequestId), $"SyncGroup {sync.RequestId} is answered, and does not wait");
            CheckSync(sync);
        }
    }

    private void CheckJoin(JoinAnswer answer)
    {
        if (answer.Error is ErrorCode.None or ErrorCode.MemberIdRequired && !_knownIds.Contains(answer.MemberId))
        {
            _knownIds.Add(answer.MemberId);
        }

        if (answer.Error == ErrorCode.None)
        {
            string leader = _sabotage == WalkSabotage.TellsTwoMembersThatTheyLead && answer.Members.Count == 0 ? answer.MemberId : answer.Leader;
            Require(_leaders.TryAdd(answer.Generation, Lasting(leader)) || _leaders[answer.Generation] == Lasting(leader),
                $"generation {answer.Generation} is led by {_leaders[answer.Generation]} and by {leader}");
            Require(answer.Members.Count > 0 == (answer.MemberId == leader), "who leads gets the members, and nobody else");
            Require(!answer.SkipAssignment || answer.MemberId == leader, "who does not lead is told not to assign");
            Require(_group.State != GroupState.Stable || _writtenIds.Contains(answer.MemberId), $"{answer.MemberId} was told its id before it was written");
            KeptPlaceCount += _group.State == GroupState.Stable && !_toldGeneration.ContainsKey(answer.MemberId) ? 1 : 0;
            Require(answer.Generation >= _toldGeneration.GetValueOrDefault(answer.MemberId), $"{answer.MemberId} goes back in time");
            _toldGeneration[answer.MemberId] = answer.Generation;
        }
    }

    private void CheckSync(SyncAnswered sync)
    {
        if (sync.Answer.Error == ErrorCode.None)
        {
            (string memberId, int generation) = _syncs[sync.RequestId];
            Require(generation == _group.Generation, "an assignment of another generation went out");
            Require(_written.Contains(generation), $"the assignment of generation {generation} went out before it was written");
            Require(sync.Answer.Assignment.Length == 0 || sync.Answer.Assignment.AsSpan().SequenceEqual(Assignment(memberId, generation)),
                $"{memberId} got an assignment that is not its own");
        }
    }

    private void CheckInvariants()
    {
        Require(_group.Generation >= _lastGeneration, "the generation went back");
        _lastGeneration = _group.Generation;

        long[] parked = [.. _group.Members.SelectMany(member => new[] { member.ParkedJoin, member.ParkedSync }).OfType<long>().Order()];
        Require(parked.SequenceEqual(_waitingJoins.Concat(_waitingSyncs).Order()), "the requests that wait are not those that the group holds");
        Require(_group.Members.Count == 0 == _group.State is GroupState.Empty || _group.State == GroupState.PreparingRebalance,
            $"{_group.State} with {_group.Members.Count} members");
        Require(_group.Members.Count == 0 ? _group.Leader is null : _group.Members.Any(member => member.MemberId == _group.Leader), "the leader is not a member");
        foreach (GroupMember member in _group.Members)
        {
            Require(member.ParkedJoin is null || member.Replacement is not null || _group.State == GroupState.PreparingRebalance, $"a JoinGroup waits in {_group.State}");
            Require(member.ParkedSync is null || _group.State == GroupState.CompletingRebalance, $"a SyncGroup waits in {_group.State}");
            Require(member.IsParked || member.Deadline is not null, $"{member.MemberId} has nothing that ends it");
            Require(member.Deadline is null || _group.WakeAt <= member.Deadline, $"nobody wakes for the deadline of {member.MemberId}");
            bool isTold = _toldGeneration.GetValueOrDefault(member.MemberId) == _group.Generation;
            bool mayBeAway = member.InstanceId is not null;
            Require(isTold || mayBeAway || _group.State == GroupState.PreparingRebalance, $"{member.MemberId} is in a generation that it was not told");
        }

        if (parked.Length > 0 && _unwritten.Count == 0)
        {
            Require(_group.WakeAt is not null, "requests wait, and nothing ends the wait");
        }
    }

    private void Mix(GroupEffect effect)
    {
        string text = effect switch
        {
            JoinAnswered join => $"join {join.RequestId} {join.Answer.Error} {join.Answer.MemberId} {join.Answer.Generation} {join.Answer.Leader}",
            SyncAnswered sync => $"sync {sync.RequestId} {sync.Answer.Error}",
            SnapshotTaken taken => $"write {taken.Snapshot.Generation}",
            _ => effect.ToString(),
        };
        foreach (char character in $"{_now} {text}")
        {
            Hash = (Hash ^ character) * 1099511628211UL;
        }
    }

    private static void Require(bool condition, string otherwise)
    {
        if (!condition)
        {
            throw new WalkException(otherwise);
        }
    }
}

internal sealed class WalkException(string message) : Exception(message);
