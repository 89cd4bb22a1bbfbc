namespace Millrace.Log;

/// <summary>The type of a setting's value; the numbers are those of DescribeConfigs.</summary>
public enum TopicSettingKind : byte
{
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,

    /// <summary>Words with commas between them.</summary>
    List = 7,
}

/// <summary>One setting of a topic: Kafka's name, type and default for it, what it may be, and what it does here.</summary>
public sealed class TopicSetting
{
    private readonly Func<TopicLogSettings, string> _format;
    private readonly Func<TopicLogSettings, string, TopicLogSettings?> _tryApply;

    internal TopicSetting(
        string name,
        TopicSettingKind kind,
        string brokerName,
        string allowedValues,
        Func<TopicLogSettings, string> format,
        Func<TopicLogSettings, string, TopicLogSettings?> tryApply,
        string documentation)
    {
        Name = name;
        Kind = kind;
        BrokerName = brokerName;
        AllowedValues = allowedValues;
        Documentation = documentation;
        _format = format;
        _tryApply = tryApply;
    }

    public string Name { get; }

    public TopicSettingKind Kind { get; }

    /// <summary>The name under which a broker has the default of all its topics.</summary>
    public string BrokerName { get; }

    /// <summary>In words, to follow "Allowed is".</summary>
    public string AllowedValues { get; }

    /// <summary>What it does, in a sentence, and where that differs from Kafka.</summary>
    public string Documentation { get; }

    /// <summary>Kafka's default.</summary>
    public string DefaultValue => ValueIn(TopicLogSettings.Default);

    /// <summary>Its value as text.</summary>
    public string ValueIn(TopicLogSettings settings) => _format(settings);

    /// <summary>The settings with this one changed; null if the text is no value of it.</summary>
    internal TopicLogSettings? TryApply(TopicLogSettings settings, string text) => _tryApply(settings, text.Trim());
}
