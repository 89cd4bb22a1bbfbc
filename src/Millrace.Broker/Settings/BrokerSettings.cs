using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>The settings of a broker as text under Kafka's names, as command lines and files have them. What topics have where they say nothing is among them.</summary>
public static partial class BrokerSettings
{
    private const int NearestCount = 3;

    private static readonly Dictionary<string, Setting> s_byName = new(StringComparer.Ordinal)
    {
        ["num.partitions"] = Int(static (options, value) => options.DefaultPartitionCount = value),
        ["auto.create.topics.enable"] = Boolean(static (options, value) => options.AutoCreateTopics = value),
        ["offsets.topic.num.partitions"] = Int(static (options, value) => options.OffsetsTopicPartitionCount = value),
        ["offset.metadata.max.bytes"] = Int(static (options, value) => options.MaxOffsetMetadataLength = value),
        ["offsets.retention.minutes"] = Minutes(static (options, value) => options.OffsetsRetention = value),
        ["offsets.retention.check.interval.ms"] = Milliseconds(static (options, value) => options.OffsetsRetentionCheckInterval = value),
        ["group.initial.rebalance.delay.ms"] = Milliseconds(static (options, value) => options.GroupInitialRebalanceDelay = value),
        ["group.min.session.timeout.ms"] = Milliseconds(static (options, value) => options.GroupMinSessionTimeout = value),
        ["group.max.session.timeout.ms"] = Milliseconds(static (options, value) => options.GroupMaxSessionTimeout = value),
        ["group.max.size"] = Int(static (options, value) => options.GroupMaxSize = value),
        ["transaction.max.timeout.ms"] = Milliseconds(static (options, value) => options.TransactionMaxTimeout = value),
        ["transactional.id.expiration.ms"] = Milliseconds(static (options, value) => options.TransactionalIdExpiration = value),
        ["producer.id.expiration.ms"] = Milliseconds(static (options, value) => options.ProducerIdExpiration = value),
        ["transaction.state.log.num.partitions"] = Int(static (options, value) => options.TransactionStateTopicPartitionCount = value),
        ["socket.request.max.bytes"] = Int(static (options, value) => options.MaxRequestByteCount = value),
        ["queued.max.request.bytes"] = Long(static (options, value) => options.MaxQueuedRequestByteCount = value),
        ["message.max.bytes"] = Int(static (options, value) => options.MaxMessageByteCount = value),
        ["fetch.max.bytes"] = Int(static (options, value) => options.MaxFetchByteCount = value),
        ["max.connections"] = Int(static (options, value) => options.MaxConnections = value),
        ["max.connections.per.ip"] = Int(static (options, value) => options.MaxConnectionsPerAddress = value),
        ["connections.max.idle.ms"] = Milliseconds(static (options, value) => options.MaxConnectionIdleTime = value),
        ["connections.max.reauth.ms"] = Milliseconds(static (options, value) => options.MaxSessionLifetime = value),
        ["connection.failed.authentication.delay.ms"] = Milliseconds(static (options, value) => options.FailedAuthenticationDelay = value),
        ["sasl.enabled.mechanisms"] = List(static (options, value) => options.SaslMechanisms = value),
        ["log.retention.check.interval.ms"] = Milliseconds(static (options, value) => options.Cleaner.RetentionCheckInterval = value),
        ["log.cleaner.enable"] = Boolean(static (options, value) => options.Cleaner.IsEnabled = value),
        ["log.cleaner.threads"] = Int(static (options, value) => options.Cleaner.ThreadCount = value),
        ["log.cleaner.dedupe.buffer.size"] = Long(static (options, value) => options.Cleaner.KeyMemoryByteCount = value),
        ["log.cleaner.io.buffer.load.factor"] = Double(static (options, value) => options.Cleaner.KeyMemoryLoadFactor = value),
        ["log.cleaner.io.buffer.size"] = Int(static (options, value) => options.Cleaner.BufferByteCount = value),
        ["log.cleaner.backoff.ms"] = Milliseconds(static (options, value) => options.Cleaner.Backoff = value),
    };

    private static readonly Dictionary<string, TopicSetting> s_topicDefaults =
        TopicSettingTable.All.Where(static setting => !s_byName.ContainsKey(setting.BrokerName))
            .ToDictionary(static setting => setting.BrokerName, StringComparer.Ordinal);

    /// <summary>A topic's names, as a broker has them.</summary>
    private static readonly Dictionary<string, string> s_brokerNames =
        TopicSettingTable.All.ToDictionary(static setting => setting.Name, static setting => setting.BrokerName, StringComparer.Ordinal);

    /// <summary>Kafka's other units for some settings, in milliseconds; there is one of each here.</summary>
    private static readonly Dictionary<string, (string Name, long Milliseconds)> s_otherUnits = new(StringComparer.Ordinal)
    {
        ["log.retention.hours"] = ("log.retention.ms", 3_600_000),
        ["log.retention.minutes"] = ("log.retention.ms", 60_000),
        ["log.roll.hours"] = ("log.roll.ms", 3_600_000),
        ["log.roll.jitter.hours"] = ("log.roll.jitter.ms", 3_600_000),
    };

    /// <summary>Every name that can be set, sorted.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. s_byName.Keys.Concat(s_topicDefaults.Keys).Order(StringComparer.Ordinal)];

    /// <summary>Sets all of the settings, or says which is wrong and sets some.</summary>
    /// <param name="error">What is wrong, and what is allowed, in a sentence.</param>
    public static bool TryApply(BrokerOptions options, IReadOnlyDictionary<string, string> settings, [NotNullWhen(false)] out string? error)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(settings);
        var ofTopics = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((string name, string value) in settings)
        {
            if (s_topicDefaults.TryGetValue(name, out TopicSetting? setting))
            {
                ofTopics.Add(setting.Name, value);
            }
            else if (!s_byName.TryGetValue(name, out Setting? own))
            {
                error = Unknown(name, value);
                return false;
            }
            else if (!own.TrySet(options, value.Trim()))
            {
                error = $"'{value}' is no value of {name}. Allowed is {own.AllowedValues}.";
                return false;
            }
        }

        // Together, since some of them must fit each other.
        if (!TopicSettingTable.TryApply(options.TopicDefaults, ofTopics, out TopicLogSettings? defaults, out error))
        {
            error = TopicName().Replace(error, static match => s_brokerNames.GetValueOrDefault(match.Value, match.Value));
            return false;
        }

        options.TopicDefaults = defaults;
        return true;
    }

    private static string Unknown(string name, string value)
    {
        if (s_otherUnits.TryGetValue(name, out (string Name, long Milliseconds) unit))
        {
            bool isNumber = long.TryParse(value.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long count)
                && count < long.MaxValue / unit.Milliseconds;
            string example = isNumber ? $"={(count < 0 ? -1 : count * unit.Milliseconds)}" : ", in milliseconds";
            return $"There is no broker setting '{name}' here: use {unit.Name}{example}.";
        }

        string[] near = [.. Names.OrderBy(known => Distance(known, name)).ThenBy(static known => known, StringComparer.Ordinal).Take(NearestCount)];
        return $"There is no broker setting '{name}'. The nearest are {string.Join(", ", near[..^1])} and {near[^1]}.";
    }

    /// <summary>How many letters have to be put in, taken out or changed (Levenshtein).</summary>
    private static int Distance(string left, string right)
    {
        int[] previous = [.. Enumerable.Range(0, right.Length + 1)];
        foreach ((int row, char letter) in left.Index())
        {
            int[] current = new int[right.Length + 1];
            current[0] = row + 1;
            for (int column = 1; column <= right.Length; column++)
            {
                int changed = previous[column - 1] + (right[column - 1] == letter ? 0 : 1);
                current[column] = Math.Min(changed, Math.Min(previous[column], current[column - 1]) + 1);
            }

            previous = current;
        }

        return previous[right.Length];
    }

    [GeneratedRegex(@"(?<![\w.])[a-z]+(\.[a-z]+)+", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex TopicName();

    private static Setting Int(Action<BrokerOptions, int> set) => new("a whole number", (options, text) =>
        Take(int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value), options, value, set));

    private static Setting Long(Action<BrokerOptions, long> set) => new("a whole number", (options, text) =>
        Take(long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value), options, value, set));

    private static Setting Double(Action<BrokerOptions, double> set) => new("a number, such as 0.9", (options, text) =>
        Take(double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value), options, value, set));

    private static Setting Boolean(Action<BrokerOptions, bool> set) => new("'true' or 'false'", (options, text) =>
        Take(bool.TryParse(text, out bool value), options, value, set));

    private static Setting List(Action<BrokerOptions, string[]> set) => new("a list with commas", (options, text) =>
        Take(isValue: true, options, text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries), set));

    private static Setting Milliseconds(Action<BrokerOptions, TimeSpan> set) => Time(TimeSpan.TicksPerMillisecond, "milliseconds", set);

    private static Setting Minutes(Action<BrokerOptions, TimeSpan> set) => Time(TimeSpan.TicksPerMinute, "minutes", set);

    private static Setting Time(long unitTicks, string unit, Action<BrokerOptions, TimeSpan> set)
    {
        long most = TimeSpan.MaxValue.Ticks / unitTicks;
        return new Setting($"a whole number of {unit}, at most {most}", (options, text) =>
        {
            bool fits = long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value >= -most && value <= most;
            return Take(fits, options, fits ? new TimeSpan(value * unitTicks) : default, set);
        });
    }

    private static bool Take<T>(bool isValue, BrokerOptions options, T value, Action<BrokerOptions, T> set)
    {
        if (isValue)
        {
            set(options, value);
        }

        return isValue;
    }

    /// <summary>A setting of the broker itself. Whether a value makes sense is judged with all others, when the broker starts.</summary>
    /// <param name="AllowedValues">What can be a value, in words.</param>
    /// <param name="TrySet">Returns false where the text is no value.</param>
    private sealed record Setting(string AllowedValues, Func<BrokerOptions, string, bool> TrySet);
}
