using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>A rule that a control breaks, so that the walk is seen to notice it.</summary>
public enum WalkSabotage
{
    None,

    /// <summary>The coordinator completes a round with whoever has joined, and keeps the others in the group.</summary>
    CompletesWithoutAll,

    /// <summary>The leader does not see what the members claim to own.</summary>
    DropsClaims,

    /// <summary>The coordinator answers who joins a stable group again with the generation that there is.</summary>
    IgnoresRejoins,

    /// <summary>An application hears everything twice.</summary>
    TellsTwice,
}

/// <summary>
/// One random walk of a group: members as machines, a coordinator with the rules of Kafka's, and between them connections that delay and break. After each
/// step no partition is in the hands of two members that the coordinator counts as its own, and nobody is told of what he has or to give what he has not;
/// when the storm is over, each partition is in somebody's hands.
/// </summary>
internal sealed class GroupWalk(int seed, PartitionAssignor assignor, WalkSabotage sabotage)
{
    private const int StormCount = 3;
    private const int MaxStormStepCount = 200;
    private const int CalmStepCount = 4000;
    private const int MaxMemberCount = 5;

    private readonly Random _random = new(seed);
    private readonly WalkCoordinator _coordinator = new(sabotage);
    private readonly List<WalkMember> _members = [];
    private readonly List<Flight> _flights = [];
    private int _partitionCount = 5;
    private int _lastName;
    private TimeSpan _now;

    private IEnumerable<WalkMember> Living => _members.Where(static member => !member.Machine.IsOver);

    private bool IsSettled => _flights.TrueForAll(static flight => flight.Call.Step == "a heartbeat")
        && Living.All(static member => member.IsSettled)
        && Living.Sum(static member => member.Held.Count) == _partitionCount;

    /// <summary>The first fault; null if there is none.</summary>
    public string? Run()
    {
        Join();
        Join();
        for (int storm = 1; storm <= StormCount; storm++)
        {
            if (Rage() is { } broken)
            {
                return $"storm {storm}, {broken}";
            }

            if (Settle() is { } unsettled)
            {
                return $"after storm {storm}: {unsettled}";
            }
        }

        // From rest, a topic grows, and a member goes.
        _partitionCount++;
        if (Settle() is { } forgotten)
        {
            return $"after a topic has grown: {forgotten}";
        }

        Join();
        Living.First().Close();
        return Settle() is { } orphaned ? $"after a member has gone: {orphaned}" : null;
    }

    private string? Rage()
    {
        int stepCount = _random.Next(MaxStormStepCount);
        for (int step = 1; step <= stepCount; step++)
        {
            Storm();
            if (AfterStep() is { } fault)
            {
                return $"step {step}: {fault}";
            }
        }

        return null;
    }

    private string? Settle()
    {
        foreach (WalkMember member in _members)
        {
            member.CutOffUntil = member.HeldUpUntil = _now;
            member.Machine.Return();
        }

        for (int step = 1; step <= CalmStepCount; step++)
        {
            Calm();
            if (AfterStep() is { } fault)
            {
                return $"calm step {step}: {fault}";
            }

            if (IsSettled)
            {
                return null;
            }
        }

        return $"{Living.Sum(static member => member.Held.Count)} of {_partitionCount} partitions are in somebody's hands at the end.\n"
            + string.Join('\n', Living) + $"\n{_coordinator}\n" + string.Join(", ", _flights.Select(static flight => $"{flight.Member.Name}: {flight.Call.Step}"));
    }

    private void Storm()
    {
        WalkMember member = _members[_random.Next(_members.Count)];
        switch (_random.Next(40))
        {
            case <= 19:
                Deliver();
                Deliver();
                Deliver();
                break;
            case <= 23:
                member.EndNotice();
                break;
            case <= 25:
                member.EndLookUp(_partitionCount, _random.Next(8) == 0);
                break;
            case <= 27:
                member.Look(_partitionCount);
                break;
            case <= 30:
                _now += TimeSpan.FromMilliseconds(_random.Next(1000));
                break;
            case 31 when _random.Next(2) == 0:
                // Longer than a session: members and coordinator give each other up.
                _now += TimeSpan.FromMilliseconds(_random.Next(8000));
                break;
            case 32:
                // Its joins take a while, though its heartbeats get through.
                member.HeldUpUntil = _now + TimeSpan.FromMilliseconds(_random.Next(8000));
                break;
            case 33 when _flights.Count > 0:
                Break(_flights[_random.Next(_flights.Count)]);
                break;
            case 34 when Living.Count() < MaxMemberCount:
                Join();
                break;
            case 35 when _random.Next(3) == 0 && Living.Count(static living => !living.IsClosing) > 1:
                member.Close();
                break;
            case 36 when _random.Next(3) == 0:
                _coordinator.Evict(member.Id);
                break;
            case 37 when _random.Next(3) == 0:
                _partitionCount++;
                break;
            case 38 when _random.Next(3) == 0:
                _coordinator.EvictWhoIsLate();
                break;
            case 38:
                // Its heartbeats fail for a while, though its joins get through.
                member.CutOffUntil = _now + TimeSpan.FromMilliseconds(_random.Next(8000));
                break;
            case 39 when _random.Next(2) == 0:
                member.Machine.GoAway("it does not poll");
                break;
            default:
                member.Machine.Return();
                break;
        }
    }

    private void Calm()
    {
        _now += TimeSpan.FromMilliseconds(_random.Next(200));
        for (int count = _flights.Count; count > 0; count--)
        {
            Deliver();
        }

        foreach (WalkMember member in Living)
        {
            member.Look(_partitionCount);
            member.EndNotice();
            member.EndLookUp(_partitionCount, isFailure: false);
        }
    }

    private string? AfterStep()
    {
        _coordinator.Tick(_now);
        foreach (Flight late in _flights.Where(flight => _now - flight.SentAt > flight.Call.Timeout).ToArray())
        {
            Break(late);
        }

        foreach (WalkMember member in _members)
        {
            _flights.AddRange(member.Advance(_now).Select(call => new Flight(member, call, _now)));
        }

        TakeAnswers();
        return _members.Select(static member => member.Fault).FirstOrDefault(static fault => fault is not null) ?? Conflict();
    }

    private string? Conflict() => _members
        .Where(_coordinator.Knows)
        .SelectMany(static member => member.Held.Select(partition => (partition, member.Name)))
        .GroupBy(static holding => holding.partition, static holding => holding.Name)
        .Where(static holders => holders.Count() > 1)
        .Select(static holders => $"{holders.Key} is in the hands of {string.Join(" and ", holders)}.")
        .FirstOrDefault();

    private void Join() => _members.Add(new WalkMember($"c{++_lastName}", assignor, sabotage, _partitionCount));

    /// <summary>Something arrives. A broker reads no request of a connection before it has answered the one before.</summary>
    private void Deliver()
    {
        if (_flights.Count == 0)
        {
            return;
        }

        Flight any = _flights[_random.Next(_flights.Count)];
        Flight flight = _flights.First(any.SharesConnection);
        if (flight.Call.Purpose == ConnectionPurpose.General && _now < flight.Member.CutOffUntil)
        {
            Break(flight);
        }
        else if (flight.Call.Purpose == ConnectionPurpose.Group && _now < flight.Member.HeldUpUntil)
        {
            return;
        }
        else if (!flight.HasArrived)
        {
            flight.HasArrived = true;
            _coordinator.Take(flight.Member, flight.Call);
            TakeAnswers();
        }
        else if (flight.Response is { } response)
        {
            _flights.Remove(flight);
            flight.Member.Receive(flight.Call, response);
        }
    }

    private void TakeAnswers()
    {
        foreach ((GroupCall call, IMessage response) in _coordinator.TakeAnswers())
        {
            // Where the connection is gone meanwhile, nobody hears it.
            _flights.Find(flight => flight.Call == call)?.Response = response;
        }
    }

    private void Break(Flight broken)
    {
        foreach (Flight flight in _flights.Where(broken.SharesConnection).ToArray())
        {
            _flights.Remove(flight);
            flight.Member.Fail(flight.Call);
        }
    }

    /// <summary>A question under way, at the coordinator, or with its answer under way.</summary>
    private sealed class Flight(WalkMember member, GroupCall call, TimeSpan sentAt)
    {
        public WalkMember Member { get; } = member;

        public GroupCall Call { get; } = call;

        public TimeSpan SentAt { get; } = sentAt;

        public bool HasArrived { get; set; }

        public IMessage? Response { get; set; }

        public bool SharesConnection(Flight other) => other.Member == Member && other.Call.Purpose == Call.Purpose;
    }
}
