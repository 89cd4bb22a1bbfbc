using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// One balanced assignment that keeps as much as it can of the one before. Balanced: no member has two partitions more than another to whom one of
/// them could be moved, directly or by a chain of moves from member to member. Members and partitions are numbers here: the member's place in the
/// order, and the partition's place in the order of topics.
/// </summary>
internal sealed class StickyAssignment
{
    private const int Nobody = -1;

    private readonly MemberSubscription[] _members;
    private readonly string[] _topics;
    private readonly int[] _firstPartitions;
    private readonly int[] _topicOf;
    private readonly List<int>[] _subscribers;
    private readonly HashSet<int>[] _subscriptions;
    private readonly int[] _previous;
    private readonly int[] _owners;
    private readonly int[] _loads;

    /// <summary>How many partitions of each topic a member holds, without those of which it holds none.</summary>
    private readonly SortedDictionary<int, int>[] _held;

    public StickyAssignment(MemberSubscription[] members, IReadOnlyDictionary<string, int> partitionCounts)
    {
        _members = members;
        _topics =
        [
            .. members.SelectMany(member => member.Topics).Distinct()
                .Where(topic => partitionCounts.GetValueOrDefault(topic) > 0)
                .Order(StringComparer.Ordinal),
        ];
        Dictionary<string, int> numbers = _topics.Index().ToDictionary(item => item.Item, item => item.Index);
        _subscriptions = [.. members.Select(member => member.Topics.Where(numbers.ContainsKey).Select(topic => numbers[topic]).ToHashSet())];
        _subscribers = [.. _topics.Select((_, topic) => Enumerable.Range(0, members.Length).Where(member => _subscriptions[member].Contains(topic)).ToList())];
        _firstPartitions = new int[_topics.Length];
        int count = 0;
        for (int topic = 0; topic < _topics.Length; topic++)
        {
            _firstPartitions[topic] = count;
            count += partitionCounts[_topics[topic]];
        }

        _topicOf = [.. _topics.SelectMany((name, topic) => Enumerable.Repeat(topic, partitionCounts[name]))];
        _previous = FindPreviousOwners(numbers, partitionCounts, count);
        _owners = [.. Enumerable.Repeat(Nobody, count)];
        _loads = new int[members.Length];
        _held = [.. members.Select(_ => new SortedDictionary<int, int>())];
    }

    /// <summary>Every member has an entry, in the order of topics and partitions.</summary>
    public Dictionary<string, List<TopicPartition>> Assign()
    {
        List<int> takers = [.. Enumerable.Range(0, _members.Length).Where(member => _subscriptions[member].Count > 0)];
        if (takers.TrueForAll(member => _subscriptions[member].SetEquals(_subscriptions[takers[0]])))
        {
            AssignAlike(takers);
        }
        else
        {
            AssignUnlike();
        }

        Dictionary<string, List<TopicPartition>> assignment = _members.ToDictionary(member => member.MemberId, _ => new List<TopicPartition>());
        for (int partition = 0; partition < _owners.Length; partition++)
        {
            int topic = _topicOf[partition];
            assignment[_members[_owners[partition]].MemberId].Add(new TopicPartition(_topics[topic], partition - _firstPartitions[topic]));
        }

        return assignment;
    }

    /// <summary>
    /// Who had what. Of several that claim a partition, the one of the newest generation had it; of several of that generation nobody did, since
    /// one of them is wrong.
    /// </summary>
    private int[] FindPreviousOwners(Dictionary<string, int> numbers, IReadOnlyDictionary<string, int> partitionCounts, int partitionCount)
    {
        int[] previous = [.. Enumerable.Repeat(Nobody, partitionCount)];
        int[] generations = [.. Enumerable.Repeat(int.MinValue, partitionCount)];
        for (int member = 0; member < _members.Length; member++)
        {
            foreach (TopicPartition claim in _members[member].Owned)
            {
                bool isThere = numbers.TryGetValue(claim.Topic, out int topic) && claim.Partition >= 0 && claim.Partition < partitionCounts[claim.Topic];
                if (!isThere || !_subscriptions[member].Contains(topic))
                {
                    continue;
                }

                int partition = _firstPartitions[topic] + claim.Partition;
                int generation = _members[member].Generation;
                if (generation > generations[partition])
                {
                    (previous[partition], generations[partition]) = (member, generation);
                }
                else if (generation == generations[partition] && previous[partition] != member)
                {
                    previous[partition] = Nobody;
                }
            }
        }

        return previous;
    }

    private void Give(int partition, int member)
    {
        int topic = _topicOf[partition];
        if (_owners[partition] is var owner && owner != Nobody)
        {
            _loads[owner]--;
            if (--_held[owner][topic] == 0)
            {
                _held[owner].Remove(topic);
            }
        }

        _owners[partition] = member;
        _loads[member]++;
        _held[member][topic] = _held[member].GetValueOrDefault(topic) + 1;
    }

    /// <summary>
    /// All members want the same topics, so that everybody gets the same number, or one more. Those with the most keep one more while there are
    /// such places.
    /// </summary>
    private void AssignAlike(List<int> members)
    {
        if (members.Count == 0)
        {
            return;
        }

        (int share, int extra) = Math.DivRem(_owners.Length, members.Count);
        ILookup<int, int> had = Enumerable.Range(0, _owners.Length).ToLookup(partition => _previous[partition]);
        foreach (int member in members.OrderByDescending(member => had[member].Count()).ThenBy(member => member))
        {
            int[] own = [.. had[member]];
            bool keepsOneMore = own.Length > share && extra > 0;
            extra -= keepsOneMore ? 1 : 0;
            foreach (int partition in own.Take(share + (keepsOneMore ? 1 : 0)))
            {
                Give(partition, member);
            }
        }

        var queue = new PriorityQueue<int, (int Load, int Member)>(members.Select(member => (member, (_loads[member], member))));
        for (int partition = 0; partition < _owners.Length; partition++)
        {
            if (_owners[partition] == Nobody)
            {
                int member = queue.Dequeue();
                Give(partition, member);
                queue.Enqueue(member, (_loads[member], member));
            }
        }
    }

    /// <summary>
    /// Members want different topics: they keep what they had, what is left goes to who has the least of those that want it, and then partitions
    /// move until it is balanced.
    /// </summary>
    private void AssignUnlike()
    {
        for (int partition = 0; partition < _owners.Length; partition++)
        {
            if (_previous[partition] != Nobody)
            {
                Give(partition, _previous[partition]);
            }
        }

        // Those first for which there is the least choice.
        foreach (int partition in Enumerable.Range(0, _owners.Length)
            .Where(partition => _owners[partition] == Nobody)
            .OrderBy(partition => _subscribers[_topicOf[partition]].Count)
            .ThenBy(partition => partition))
        {
            Give(partition, _subscribers[_topicOf[partition]].MinBy(member => (_loads[member], member)));
        }

        Balance();
        TakeBack();
    }

    /// <summary>Each round makes the sum of the squares of all loads smaller, so that the rounds end.</summary>
    private void Balance()
    {
        bool hasMoved = true;
        while (hasMoved)
        {
            hasMoved = false;
            foreach (int source in Enumerable.Range(0, _members.Length).OrderByDescending(member => _loads[member]).ThenBy(member => member).ToArray())
            {
                while (MoveOneFrom(source))
                {
                    hasMoved = true;
                }
            }
        }
    }

    /// <summary>Moves one partition from a member towards the one with the least that can be reached, if that one has at least two less.</summary>
    private bool MoveOneFrom(int source)
    {
        // The way to each member that can be reached: who hands over to it, and a partition of which topic.
        Dictionary<int, (int From, int Topic)> ways = new() { [source] = (Nobody, Nobody) };
        var seenTopics = new HashSet<int>();
        var queue = new Queue<int>([source]);
        int target = source;
        int least = _loads.Min();
        while (_loads[target] > least && queue.TryDequeue(out int member))
        {
            foreach (int topic in _held[member].Keys)
            {
                // Whoever wants this topic has been reached by the first that holds some of it.
                foreach (int subscriber in seenTopics.Add(topic) ? _subscribers[topic] : [])
                {
                    if (ways.TryAdd(subscriber, (member, topic)))
                    {
                        queue.Enqueue(subscriber);
                        target = _loads[subscriber] < _loads[target] ? subscriber : target;
                    }
                }
            }
        }

        if (_loads[target] + 2 > _loads[source])
        {
            return false;
        }

        for (int to = target; to != source; to = ways[to].From)
        {
            (int from, int topic) = ways[to];
            Give(ChooseToMove(from, to, topic), to);
        }

        return true;
    }

    /// <summary>One that the new owner had before; else one that is new to the old owner; else any.</summary>
    private int ChooseToMove(int from, int to, int topic)
    {
        int end = topic + 1 < _firstPartitions.Length ? _firstPartitions[topic + 1] : _owners.Length;
        (int chosen, int rank) = (Nobody, int.MaxValue);
        for (int partition = end - 1; partition >= _firstPartitions[topic] && rank > 0; partition--)
        {
            int previous = _previous[partition];
            int next = _owners[partition] != from ? int.MaxValue : previous == to ? 0 : previous != from ? 1 : 2;
            (chosen, rank) = next < rank ? (partition, next) : (chosen, rank);
        }

        return chosen;
    }

    /// <summary>Partitions that moved on the way to balance go back to who had them, against one that its holder has newly got. Loads stay.</summary>
    private void TakeBack()
    {
        // What each member holds that it did not have.
        SortedSet<int>[] gained = [.. _members.Select(_ => new SortedSet<int>())];
        for (int partition = 0; partition < _owners.Length; partition++)
        {
            if (_previous[partition] != _owners[partition])
            {
                gained[_owners[partition]].Add(partition);
            }
        }

        for (int partition = 0; partition < _owners.Length; partition++)
        {
            int before = _previous[partition];
            int now = _owners[partition];
            if (before == Nobody || before == now || FindReturn(gained[before], now) is not { } other)
            {
                continue;
            }

            (_owners[partition], _owners[other]) = (before, now);
            gained[now].Remove(partition);
            gained[before].Remove(other);
            if (_previous[other] != now)
            {
                gained[now].Add(other);
            }
        }
    }

    /// <summary>What a member takes in return: best what it had itself.</summary>
    private int? FindReturn(SortedSet<int> candidates, int taker)
    {
        int? any = null;
        foreach (int candidate in candidates)
        {
            if (_subscriptions[taker].Contains(_topicOf[candidate]))
            {
                if (_previous[candidate] == taker)
                {
                    return candidate;
                }

                any ??= candidate;
            }
        }

        return any;
    }
}
