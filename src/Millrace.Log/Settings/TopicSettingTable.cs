using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Every setting that a topic may have: Kafka's, as far as they mean something on one node, with its names, types, limits and defaults.
/// </summary>
public static class TopicSettingTable
{
    /// <summary>Smaller segments cost more in files than they give; the limit is Kafka's since 4.0.</summary>
    public const int MinimumSegmentByteCount = 1 << 20;

    /// <summary>One entry of each index.</summary>
    public const int MinimumSegmentIndexByteCount = 12;

    private static readonly (CompressionCodec? Codec, string Name)[] s_compressionTypes =
    [
        (null, "producer"),
        (CompressionCodec.None, "uncompressed"),
        (CompressionCodec.Gzip, "gzip"),
        (CompressionCodec.Snappy, "snappy"),
        (CompressionCodec.Lz4, "lz4"),
        (CompressionCodec.Zstd, "zstd"),
    ];

    /// <summary>Settings that Kafka has and that mean nothing here, with the reason.</summary>
    private static readonly Dictionary<string, string> s_withoutMeaning = new(StringComparer.Ordinal)
    {
        ["remote.storage.enable"] = "there is no tiered storage",
        ["remote.log.copy.disable"] = "there is no tiered storage",
        ["remote.log.delete.on.disable"] = "there is no tiered storage",
        ["local.retention.ms"] = "there is no tiered storage; set retention.ms",
        ["local.retention.bytes"] = "there is no tiered storage; set retention.bytes",
        ["leader.replication.throttled.replicas"] = "there is one replica",
        ["follower.replication.throttled.replicas"] = "there is one replica",
        ["compression.gzip.level"] = "the level of each codec is fixed",
        ["compression.lz4.level"] = "the level of each codec is fixed",
        ["compression.zstd.level"] = "the level of each codec is fixed",
        ["message.format.version"] = "there is one message format, version 2",
        ["message.downconversion.enable"] = "there is one message format, version 2",
        ["message.timestamp.difference.max.ms"] = "set message.timestamp.before.max.ms and message.timestamp.after.max.ms",
    };

    private static readonly TopicSetting[] s_all =
    [
        new("cleanup.policy", TopicSettingKind.List, "log.cleanup.policy", "a list of 'delete' and 'compact', or nothing",
            static settings => FormatPolicy(settings.CleanupPolicy),
            static (settings, text) => ParsePolicy(text) is { } policy ? settings with { CleanupPolicy = policy } : null,
            "Whether old segments are deleted by age and size, or of each key only the newest record is kept, or both; with neither, everything stays."),
        new("compression.type", TopicSettingKind.String, "compression.type", "one of " + string.Join(", ", s_compressionTypes.Select(static type => type.Name)),
            static settings => Array.Find(s_compressionTypes, type => type.Codec == settings.Compression).Name,
            static (settings, text) => TryParseCompression(text, out CompressionCodec? codec) ? settings with { Compression = codec } : null,
            "How batches are stored: as their producer has sent them, or compressed anew where they are not compressed so, or not at all. That takes processor time, and a copy."),
        Long("delete.retention.ms", "log.cleaner.delete.retention.ms", 0,
            static settings => settings.DeleteRetentionMilliseconds, static (settings, value) => settings with { DeleteRetentionMilliseconds = value },
            "How long a compacted log keeps a tombstone after it has removed the values before it: the time that a reader has to come from there to the tombstone."),
        Long("file.delete.delay.ms", "log.segment.delete.delay.ms", 0,
            static settings => settings.FileDeleteDelayMilliseconds, static (settings, value) => settings with { FileDeleteDelayMilliseconds = value },
            "How long the files of a segment that has left the log stay on the disk, for readers that are still in them."),
        Long("flush.messages", "log.flush.interval.messages", 1,
            static settings => settings.FlushRecordCount, static (settings, value) => settings with { FlushRecordCount = value },
            "By the append after which so many records are not on the disk a sync is begun, and its answer waits for it, whatever its acks. acks=all waits for the disk always, and a transaction at its end."),
        Long("flush.ms", "log.flush.interval.ms", 0,
            static settings => settings.FlushMilliseconds, static (settings, value) => settings with { FlushMilliseconds = value },
            "What has been in the page cache for so long is synced, up to a second later; nobody waits for it."),
        Int("index.interval.bytes", "log.index.interval.bytes", 0,
            static settings => settings.IndexIntervalByteCount, static (settings, value) => settings with { IndexIntervalByteCount = value },
            "Bytes of log between two entries of the offset index."),
        Long("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", 1,
            static settings => settings.MaximumCompactionLagMilliseconds, static (settings, value) => settings with { MaximumCompactionLagMilliseconds = value },
            "A record that is older than this and was never compacted makes its log due, however small its dirty part is."),
        Int("max.message.bytes", "message.max.bytes", 0,
            static settings => settings.MaximumBatchByteCount, static (settings, value) => settings with { MaximumBatchByteCount = value },
            "The largest record batch, as it is compressed, that may be appended."),
        Long("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", 0,
            static settings => settings.MaximumTimestampAfterMilliseconds, static (settings, value) => settings with { MaximumTimestampAfterMilliseconds = value },
            "How far the time of a record may lie after the broker's, where producers give it."),
        Long("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", 0,
            static settings => settings.MaximumTimestampBeforeMilliseconds, static (settings, value) => settings with { MaximumTimestampBeforeMilliseconds = value },
            "How far the time of a record may lie before the broker's, where producers give it."),
        new("message.timestamp.type", TopicSettingKind.String, "log.message.timestamp.type", "CreateTime or LogAppendTime",
            static settings => settings.TimestampType.ToString(),
            static (settings, text) => ParseTimestampType(text) is { } type ? settings with { TimestampType = type } : null,
            "Whether a record keeps the time that its producer gave, or gets the time of its append."),
        new("min.cleanable.dirty.ratio", TopicSettingKind.Double, "log.cleaner.min.cleanable.ratio", "a number from 0 to 1",
            static settings => settings.MinimumCleanableDirtyRatio.ToString(CultureInfo.InvariantCulture),
            static (settings, text) => ParseRatio(text) is { } ratio ? settings with { MinimumCleanableDirtyRatio = ratio } : null,
            "A log is compacted when more than this part of it was never compacted: the smaller, the less space is wasted and the more is written."),
        Long("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", 0,
            static settings => settings.MinimumCompactionLagMilliseconds, static (settings, value) => settings with { MinimumCompactionLagMilliseconds = value },
            "A record stays uncompacted for at least this long."),
        Int("min.insync.replicas", "min.insync.replicas", 1,
            static settings => settings.MinimumInSyncReplicaCount, static (settings, value) => settings with { MinimumInSyncReplicaCount = value },
            "Kept and shown only: there is one replica, and acks=all waits for its disk."),
        Boolean("preallocate", "log.preallocate",
            static settings => settings.IsPreallocated, static (settings, value) => settings with { IsPreallocated = value },
            "Kept and shown only: files grow as they are written."),
        Long("retention.bytes", "log.retention.bytes", long.MinValue,
            static settings => settings.RetentionByteCount, static (settings, value) => settings with { RetentionByteCount = value },
            "Where cleanup.policy has delete: the oldest segments of a partition go as long as what is left has this size at least; negative for no limit.",
            "a whole number; a negative one means no limit"),
        Long("retention.ms", "log.retention.ms", TopicLogSettings.NoLimit,
            static settings => settings.RetentionMilliseconds, static (settings, value) => settings with { RetentionMilliseconds = value },
            "Where cleanup.policy has delete: a segment goes when its latest record is older than this; -1 for no limit."),
        Int("segment.bytes", "log.segment.bytes", MinimumSegmentByteCount,
            static settings => settings.SegmentByteCount, static (settings, value) => settings with { SegmentByteCount = value },
            "The size at which a segment is closed and the next one begun; retention and compaction work on closed segments."),
        Int("segment.index.bytes", "log.index.size.max.bytes", MinimumSegmentIndexByteCount,
            static settings => settings.SegmentIndexByteCount, static (settings, value) => settings with { SegmentIndexByteCount = value },
            "The largest size of each index of a segment; a segment whose index is full is closed."),
        Long("segment.jitter.ms", "log.roll.jitter.ms", 0,
            static settings => settings.SegmentJitterMilliseconds, static (settings, value) => settings with { SegmentJitterMilliseconds = value },
            "The most by which a segment is closed earlier than segment.ms says, so that not all close at once."),
        Long("segment.ms", "log.roll.ms", 1,
            static settings => settings.SegmentMilliseconds, static (settings, value) => settings with { SegmentMilliseconds = value },
            "The age at which a segment is closed that is not full."),
        Boolean("unclean.leader.election.enable", "unclean.leader.election.enable",
            static settings => settings.IsUncleanLeaderElectionEnabled, static (settings, value) => settings with { IsUncleanLeaderElectionEnabled = value },
            "Kept and shown only: there is one replica, and it leads."),
    ];

    private static readonly Dictionary<string, TopicSetting> s_byName = s_all.ToDictionary(static setting => setting.Name, StringComparer.Ordinal);

    /// <summary>All settings, sorted by name.</summary>
    public static IReadOnlyList<TopicSetting> All => s_all;

    public static bool TryFind(string name, [NotNullWhen(true)] out TopicSetting? setting) => s_byName.TryGetValue(name, out setting);

    /// <summary>The settings of a topic that has some of its own.</summary>
    /// <param name="defaults">What holds where it has none.</param>
    /// <param name="error">What is wrong, and what is allowed, in a sentence.</param>
    public static bool TryApply(
        TopicLogSettings defaults,
        IReadOnlyDictionary<string, string> overrides,
        [NotNullWhen(true)] out TopicLogSettings? settings,
        [NotNullWhen(false)] out string? error)
    {
        settings = null;
        TopicLogSettings applied = defaults;
        foreach ((string name, string text) in overrides)
        {
            if (!s_byName.TryGetValue(name, out TopicSetting? setting))
            {
                error = Unknown(name);
                return false;
            }

            if (setting.TryApply(applied, text) is not { } next)
            {
                error = $"'{text}' is no value of {name}. Allowed is {setting.AllowedValues}.";
                return false;
            }

            applied = next;
        }

        error = FindContradiction(applied);
        settings = error is null ? applied : null;
        return error is null;
    }

    /// <summary>Why there is no setting of this name, in a sentence.</summary>
    public static string Unknown(string name) => s_withoutMeaning.TryGetValue(name, out string? reason)
        ? $"The topic setting '{name}' is not served: {reason}."
        : $"There is no topic setting '{name}'. Allowed is one of {string.Join(", ", s_all.Select(static setting => setting.Name))}.";

    /// <summary>Values as they are stored and shown, however they were written. The overrides are known to be right.</summary>
    internal static SortedDictionary<string, string> Normalize(IReadOnlyDictionary<string, string> overrides)
    {
        var normalized = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string name, string text) in overrides)
        {
            TopicSetting setting = s_byName[name];

            // A list is shown in the order in which it was given, as by Kafka.
            normalized.Add(name, setting.Kind == TopicSettingKind.List
                ? string.Join(',', text.Split(',', StringSplitOptions.TrimEntries).Distinct(StringComparer.Ordinal))
                : setting.ValueIn(setting.TryApply(TopicLogSettings.Default, text)!));
        }

        return normalized;
    }

    private static string? FindContradiction(TopicLogSettings settings) =>
        settings.MinimumCompactionLagMilliseconds > settings.MaximumCompactionLagMilliseconds
            ? $"min.compaction.lag.ms is {settings.MinimumCompactionLagMilliseconds} and max.compaction.lag.ms "
                + $"{settings.MaximumCompactionLagMilliseconds}. Allowed is a minimum that is not above the maximum."
            : null;

    private static TopicSetting Long(
        string name,
        string brokerName,
        long minimum,
        Func<TopicLogSettings, long> get,
        Func<TopicLogSettings, long, TopicLogSettings> with,
        string documentation,
        string? allowedValues = null) =>
        new(
            name,
            TopicSettingKind.Long,
            brokerName,
            allowedValues ?? $"a whole number, at least {minimum}",
            settings => get(settings).ToString(CultureInfo.InvariantCulture),
            (settings, text) => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value >= minimum
                ? with(settings, value)
                : null,
            documentation);

    private static TopicSetting Int(
        string name,
        string brokerName,
        int minimum,
        Func<TopicLogSettings, int> get,
        Func<TopicLogSettings, int, TopicLogSettings> with,
        string documentation) =>
        new(
            name,
            TopicSettingKind.Int,
            brokerName,
            $"a whole number from {minimum} to {int.MaxValue}",
            settings => get(settings).ToString(CultureInfo.InvariantCulture),
            (settings, text) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= minimum
                ? with(settings, value)
                : null,
            documentation);

    private static TopicSetting Boolean(
        string name,
        string brokerName,
        Func<TopicLogSettings, bool> get,
        Func<TopicLogSettings, bool, TopicLogSettings> with,
        string documentation) =>
        new(
            name,
            TopicSettingKind.Boolean,
            brokerName,
            "true or false",
            settings => get(settings) ? "true" : "false",
            (settings, text) => bool.TryParse(text, out bool value) ? with(settings, value) : null,
            documentation);

    private static string FormatPolicy(CleanupPolicy policy) => policy switch
    {
        CleanupPolicy.None => "",
        CleanupPolicy.Compact => "compact",
        CleanupPolicy.Delete => "delete",
        _ => "compact,delete",
    };

    private static CleanupPolicy? ParsePolicy(string text)
    {
        CleanupPolicy policy = CleanupPolicy.None;
        if (text.Length == 0)
        {
            return policy;
        }

        foreach (string word in text.Split(',', StringSplitOptions.TrimEntries))
        {
            switch (word)
            {
                case "delete":
                    policy |= CleanupPolicy.Delete;
                    break;
                case "compact":
                    policy |= CleanupPolicy.Compact;
                    break;
                default:
                    return null;
            }
        }

        return policy;
    }

    private static bool TryParseCompression(string text, out CompressionCodec? codec)
    {
        int index = Array.FindIndex(s_compressionTypes, type => type.Name == text);
        codec = index < 0 ? null : s_compressionTypes[index].Codec;
        return index >= 0;
    }

    private static MessageTimestampType? ParseTimestampType(string text) => text switch
    {
        nameof(MessageTimestampType.CreateTime) => MessageTimestampType.CreateTime,
        nameof(MessageTimestampType.LogAppendTime) => MessageTimestampType.LogAppendTime,
        _ => null,
    };

    private static double? ParseRatio(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double ratio) && ratio is >= 0 and <= 1 ? ratio : null;
}
