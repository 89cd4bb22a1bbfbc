using System.Buffers;

namespace Millrace.Broker;

/// <summary>Kafka's rules for the names of topics, and the names that it keeps for itself.</summary>
internal static class TopicName
{
    /// <summary>A directory's name is the topic's and a partition number; file systems allow 255 bytes.</summary>
    public const int MaxLength = 249;

    public const string ConsumerOffsets = "__consumer_offsets";
    public const string TransactionState = "__transaction_state";

    /// <summary>A cluster of Kafka's has it; here there is none.</summary>
    public const string ClusterMetadata = "__cluster_metadata";

    private static readonly SearchValues<char> Allowed =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    /// <summary>Topics that the broker writes itself; clients read them.</summary>
    public static bool IsInternal(string topic) => topic is ConsumerOffsets or TransactionState;

    /// <summary>What is wrong with a name, for a person; null if nothing is.</summary>
    public static string? Fault(string? topic)
    {
        if (string.IsNullOrEmpty(topic))
        {
            return "A topic's name cannot be empty.";
        }

        if (topic is "." or "..")
        {
            return "A topic's name cannot be '.' or '..'.";
        }

        if (topic.Length > MaxLength)
        {
            return $"A topic's name has at most {MaxLength} characters; this one has {topic.Length}.";
        }

        int position = topic.AsSpan().IndexOfAnyExcept(Allowed);
        return position < 0
            ? null
            : $"A topic's name consists of ASCII letters, digits, '.', '_' and '-'; the character at position {position} is none of them.";
    }

    /// <summary>Two names that differ only in '.' and '_' have one name in metrics; Kafka refuses the second one.</summary>
    public static string CollisionKey(string topic) => topic.Replace('.', '_');
}
