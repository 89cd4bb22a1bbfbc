using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>How a group's leader shares out partitions. The same input gives the same result on every member, in every client.</summary>
internal static class Assignors
{
    public static string NameOf(PartitionAssignor assignor) => assignor switch
    {
        PartitionAssignor.Range => "range",
        PartitionAssignor.RoundRobin => "roundrobin",
        _ => throw new ArgumentOutOfRangeException(nameof(assignor), assignor, "Unknown assignor."),
    };

    public static PartitionAssignor? ByName(string? name) => name switch
    {
        "range" => PartitionAssignor.Range,
        "roundrobin" => PartitionAssignor.RoundRobin,
        _ => null,
    };

    /// <summary>Shares out all partitions of all topics that somebody subscribes to.</summary>
    /// <param name="assignor">How.</param>
    /// <param name="subscriptions">The topics of each member.</param>
    /// <param name="partitionCounts">The topics that exist.</param>
    /// <returns>The partitions of each member; every member has an entry.</returns>
    public static Dictionary<string, List<TopicPartition>> Assign(
        PartitionAssignor assignor,
        IReadOnlyDictionary<string, IReadOnlyCollection<string>> subscriptions,
        IReadOnlyDictionary<string, int> partitionCounts)
    {
        // Ordinal order of member ids and topics, as Java's String.compareTo has it.
        string[] members = [.. subscriptions.Keys.Order(StringComparer.Ordinal)];
        string[] topics = [.. subscriptions.Values.SelectMany(names => names).Distinct().Where(partitionCounts.ContainsKey).Order(StringComparer.Ordinal)];
        Dictionary<string, List<TopicPartition>> assignment = members.ToDictionary(member => member, _ => new List<TopicPartition>());
        if (assignor == PartitionAssignor.Range)
        {
            AssignRanges(members, topics, subscriptions, partitionCounts, assignment);
        }
        else
        {
            AssignInTurn(members, topics, subscriptions, partitionCounts, assignment);
        }

        return assignment;
    }

    private static void AssignRanges(
        string[] members,
        string[] topics,
        IReadOnlyDictionary<string, IReadOnlyCollection<string>> subscriptions,
        IReadOnlyDictionary<string, int> partitionCounts,
        Dictionary<string, List<TopicPartition>> assignment)
    {
        foreach (string topic in topics)
        {
            string[] subscribers = [.. members.Where(member => subscriptions[member].Contains(topic))];
            int share = partitionCounts[topic] / subscribers.Length;
            int extra = partitionCounts[topic] % subscribers.Length;
            int next = 0;
            for (int i = 0; i < subscribers.Length; i++)
            {
                int count = share + (i < extra ? 1 : 0);
                assignment[subscribers[i]].AddRange(Enumerable.Range(next, count).Select(partition => new TopicPartition(topic, partition)));
                next += count;
            }
        }
    }

    private static void AssignInTurn(
        string[] members,
        string[] topics,
        IReadOnlyDictionary<string, IReadOnlyCollection<string>> subscriptions,
        IReadOnlyDictionary<string, int> partitionCounts,
        Dictionary<string, List<TopicPartition>> assignment)
    {
        int turn = 0;
        foreach (string topic in topics)
        {
            for (int partition = 0; partition < partitionCounts[topic]; partition++)
            {
                while (!subscriptions[members[turn % members.Length]].Contains(topic))
                {
                    turn++;
                }

                assignment[members[turn++ % members.Length]].Add(new TopicPartition(topic, partition));
            }
        }
    }
}
