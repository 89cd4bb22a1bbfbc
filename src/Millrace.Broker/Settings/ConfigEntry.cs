using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What a resource of the configuration APIs is; the numbers are Kafka's.</summary>
internal enum ConfigResourceType : sbyte
{
    Topic = 2,
    Broker = 4,
}

/// <summary>Where a value comes from; the numbers are Kafka's.</summary>
internal enum ConfigSource : sbyte
{
    Topic = 1,
    Broker = 4,
    Default = 5,
}

/// <summary>One setting of a topic or of the broker, with everything that stands behind its value.</summary>
/// <param name="Name">Kafka's name.</param>
/// <param name="Value">As text.</param>
/// <param name="Source">Where the value comes from.</param>
/// <param name="Kind">The type of the value.</param>
/// <param name="IsReadOnly">Whether it can only be changed with a new start of the broker.</param>
/// <param name="Documentation">What it does, in a sentence.</param>
/// <param name="Synonyms">The value and those that it hides, in the order in which they count.</param>
internal sealed record ConfigEntry(
    string Name,
    string Value,
    ConfigSource Source,
    TopicSettingKind Kind,
    bool IsReadOnly,
    string Documentation,
    IReadOnlyList<DescribeConfigsSynonym> Synonyms);
