namespace Millrace.Log;

/// <content>The settings of topics.</content>
public sealed partial class LogDirectory
{
    private readonly TopicSettingsStore _topicSettings;

    /// <summary>What holds for a topic that says nothing else.</summary>
    public TopicLogSettings TopicDefaults => _topicSettings.Defaults;

    /// <summary>The settings of a topic, its own and the defaults, whether it has partitions or not.</summary>
    public TopicLogSettings SettingsOf(string topic) => _topicSettings.SettingsOf(topic);

    /// <summary>What a topic has of its own, by the names in <see cref="TopicSettingTable"/>.</summary>
    public IReadOnlyDictionary<string, string> Overrides(string topic) => _topicSettings.Overrides(topic);

    /// <summary>
    /// Gives a topic settings of its own in place of those it had; none, and it has the defaults. Durable on return, and every partition of
    /// the topic goes by them from then on. They outlive the partitions: set them to none when the topic is deleted.
    /// </summary>
    /// <exception cref="ArgumentException">One is wrong; the message says which, and what is allowed. Nothing was changed.</exception>
    /// <exception cref="IOException">The disk refused. The settings are the old ones; where it refused to write those again as well, the next start may find the new ones.</exception>
    public void SetOverrides(string topic, IReadOnlyDictionary<string, string> overrides)
    {
        _topicSettings.SetOverrides(topic, overrides);
        lock (_creationLock)
        {
            ForgetSettingsOfNone([topic]);
        }
    }

    internal TopicSettingsCell SettingsCellOf(string topic) => _topicSettings.CellOf(topic);

    /// <summary>Forgets the cells of topics that have no partition: names come and go for as long as the process lives. Guarded by the creation lock.</summary>
    private void ForgetSettingsOfNone(IEnumerable<string> topics)
    {
        foreach (string topic in topics.Except(_partitions.Values.Select(static log => log.TopicPartition.Topic), StringComparer.Ordinal))
        {
            _topicSettings.ForgetCell(topic);
        }
    }
}
