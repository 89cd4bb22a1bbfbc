using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The settings of topics as the configuration APIs tell them.</summary>
internal static class TopicConfigs
{
    /// <summary>Every setting of a topic that has these of its own.</summary>
    public static List<ConfigEntry> Describe(TopicLogSettings defaults, IReadOnlyDictionary<string, string> overrides) =>
        [.. TopicSettingTable.All.Select(setting => Describe(setting, defaults, overrides.GetValueOrDefault(setting.Name)))];

    /// <summary>The value that the broker has for a setting, and the one that Kafka gives it.</summary>
    public static List<DescribeConfigsSynonym> BrokerValues(TopicSetting setting, TopicLogSettings defaults)
    {
        string value = setting.ValueIn(defaults);
        List<DescribeConfigsSynonym> values = [];
        if (value != setting.DefaultValue)
        {
            values.Add(Synonym(setting.BrokerName, value, ConfigSource.Broker));
        }

        values.Add(Synonym(setting.BrokerName, setting.DefaultValue, ConfigSource.Default));
        return values;
    }

    public static DescribeConfigsSynonym Synonym(string name, string value, ConfigSource source) =>
        new() { Name = name, Value = value, Source = (sbyte)source };

    private static ConfigEntry Describe(TopicSetting setting, TopicLogSettings defaults, string? own)
    {
        List<DescribeConfigsSynonym> synonyms = BrokerValues(setting, defaults);
        if (own is not null)
        {
            synonyms.Insert(0, Synonym(setting.Name, own, ConfigSource.Topic));
        }

        return new ConfigEntry(
            setting.Name, synonyms[0].Value!, (ConfigSource)synonyms[0].Source, setting.Kind, IsReadOnly: false, setting.Documentation, synonyms);
    }
}
