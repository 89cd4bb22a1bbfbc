namespace Millrace.Kafka;

/// <summary>What a setting belongs to.</summary>
public enum ConfigResourceType : sbyte
{
    /// <summary>A topic, by its name.</summary>
    Topic = 2,

    /// <summary>A broker, by its id; an empty name stands for what all brokers have unless one has its own.</summary>
    Broker = 4,

    /// <summary>The levels of a broker's loggers, by its id (KIP-412).</summary>
    BrokerLogger = 8,

    /// <summary>A subscription to metrics of clients, by its name (KIP-714).</summary>
    ClientMetrics = 16,

    /// <summary>A group, by its id (KIP-848).</summary>
    Group = 32,
}

/// <summary>Something that has settings.</summary>
/// <param name="Type">What it is.</param>
/// <param name="Name">Its name; of a broker, its id.</param>
public readonly record struct ConfigResource(ConfigResourceType Type, string Name)
{
    /// <summary>What all brokers have unless one has its own.</summary>
    public static ConfigResource AllBrokers { get; } = new(ConfigResourceType.Broker, "");

    /// <summary>A topic.</summary>
    /// <param name="name">Its name.</param>
    public static ConfigResource Topic(string name) => new(ConfigResourceType.Topic, name);

    /// <summary>A broker.</summary>
    /// <param name="brokerId">Its id.</param>
    public static ConfigResource Broker(int brokerId) => new(ConfigResourceType.Broker, brokerId.ToString());

    /// <inheritdoc/>
    public override string ToString() => Type == ConfigResourceType.Broker && Name.Length == 0 ? "all brokers" : $"{Type} '{Name}'";

    /// <summary>The only broker that can answer for it, or null where each can.</summary>
    internal int? BrokerId =>
        Type is ConfigResourceType.Broker or ConfigResourceType.BrokerLogger && int.TryParse(Name, out int brokerId) ? brokerId : null;
}

/// <summary>Where a setting's value comes from, the strongest first.</summary>
public enum ConfigSource : sbyte
{
    /// <summary>A source that this client does not know.</summary>
    Unknown = 0,

    /// <summary>Set on the topic.</summary>
    Topic = 1,

    /// <summary>Set on the broker while it runs.</summary>
    DynamicBroker = 2,

    /// <summary>Set for all brokers while they run.</summary>
    DynamicDefaultBroker = 3,

    /// <summary>From the broker's file.</summary>
    StaticBroker = 4,

    /// <summary>Kafka's default.</summary>
    Default = 5,

    /// <summary>The level of a logger.</summary>
    BrokerLogger = 6,

    /// <summary>Set on a subscription to metrics of clients.</summary>
    ClientMetrics = 7,

    /// <summary>Set on a group.</summary>
    Group = 8,
}

/// <summary>A setting and its value.</summary>
/// <param name="Name">Kafka's name of it.</param>
/// <param name="Value">The value; null where it has none or is secret.</param>
/// <param name="Source">Where the value comes from.</param>
/// <param name="IsReadOnly">Whether only a new start of the broker can change it.</param>
/// <param name="IsSensitive">Whether it is secret; then it has no value here.</param>
public sealed record ConfigEntry(string Name, string? Value, ConfigSource Source, bool IsReadOnly, bool IsSensitive)
{
    /// <summary>The values that stand behind it, the one that counts first. Empty unless asked for.</summary>
    public IReadOnlyList<ConfigSynonym> Synonyms { get; init; } = [];

    /// <summary>What it does, from Kafka 2.6 on; null unless asked for.</summary>
    public string? Documentation { get; init; }

    /// <summary>Whether nobody has set it.</summary>
    public bool IsDefault => Source == ConfigSource.Default;
}

/// <summary>A value that stands behind a setting, such as the broker's for a topic's.</summary>
/// <param name="Name">The name that it has there.</param>
/// <param name="Value">The value; null where it is secret.</param>
/// <param name="Source">Where it comes from.</param>
public sealed record ConfigSynonym(string Name, string? Value, ConfigSource Source);

/// <summary>What to do with a setting; the others of its resource stay as they are (KIP-339).</summary>
public sealed record ConfigChange
{
    private ConfigChange(string name, sbyte operation, string? value)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        Name = name;
        Operation = operation;
        Value = value;
    }

    /// <summary>Kafka's name of the setting.</summary>
    public string Name { get; }

    /// <summary>The value that is set, appended or taken away; null where the setting is removed.</summary>
    public string? Value { get; }

    internal sbyte Operation { get; }

    /// <summary>Sets a value.</summary>
    /// <param name="name">Kafka's name of the setting.</param>
    /// <param name="value">The value.</param>
    public static ConfigChange Set(string name, string value) => new(name, 0, value);

    /// <summary>Removes what was set, so that the default counts again.</summary>
    /// <param name="name">Kafka's name of the setting.</param>
    public static ConfigChange Remove(string name) => new(name, 1, value: null);

    /// <summary>Appends to a list.</summary>
    /// <param name="name">Kafka's name of the setting.</param>
    /// <param name="value">What is appended; several with commas between them.</param>
    public static ConfigChange Append(string name, string value) => new(name, 2, value);

    /// <summary>Takes away from a list.</summary>
    /// <param name="name">Kafka's name of the setting.</param>
    /// <param name="value">What is taken away; several with commas between them.</param>
    public static ConfigChange Subtract(string name, string value) => new(name, 3, value);
}
