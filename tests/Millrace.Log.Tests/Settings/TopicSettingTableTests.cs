using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class TopicSettingTableTests
{
    /// <summary>Kafka 4's defaults, written down once more and apart from the table.</summary>
    public static TheoryData<string, TopicSettingKind, string> KafkasDefaults => new()
    {
        { "cleanup.policy", TopicSettingKind.List, "delete" },
        { "compression.type", TopicSettingKind.String, "producer" },
        { "delete.retention.ms", TopicSettingKind.Long, "86400000" },
        { "file.delete.delay.ms", TopicSettingKind.Long, "60000" },
        { "flush.messages", TopicSettingKind.Long, "9223372036854775807" },
        { "flush.ms", TopicSettingKind.Long, "9223372036854775807" },
        { "index.interval.bytes", TopicSettingKind.Int, "4096" },
        { "max.compaction.lag.ms", TopicSettingKind.Long, "9223372036854775807" },
        { "max.message.bytes", TopicSettingKind.Int, "1048588" },
        { "message.timestamp.after.max.ms", TopicSettingKind.Long, "3600000" },
        { "message.timestamp.before.max.ms", TopicSettingKind.Long, "9223372036854775807" },
        { "message.timestamp.type", TopicSettingKind.String, "CreateTime" },
        { "min.cleanable.dirty.ratio", TopicSettingKind.Double, "0.5" },
        { "min.compaction.lag.ms", TopicSettingKind.Long, "0" },
        { "min.insync.replicas", TopicSettingKind.Int, "1" },
        { "preallocate", TopicSettingKind.Boolean, "false" },
        { "retention.bytes", TopicSettingKind.Long, "-1" },
        { "retention.ms", TopicSettingKind.Long, "604800000" },
        { "segment.bytes", TopicSettingKind.Int, "1073741824" },
        { "segment.index.bytes", TopicSettingKind.Int, "10485760" },
        { "segment.jitter.ms", TopicSettingKind.Long, "0" },
        { "segment.ms", TopicSettingKind.Long, "604800000" },
        { "unclean.leader.election.enable", TopicSettingKind.Boolean, "false" },
    };

    [Theory]
    [MemberData(nameof(KafkasDefaults))]
    public void A_setting_has_the_type_and_the_default_of_kafka(string name, TopicSettingKind kind, string value)
    {
        Assert.True(TopicSettingTable.TryFind(name, out TopicSetting? setting));
        Assert.Equal(kind, setting.Kind);
        Assert.Equal(value, setting.DefaultValue);
    }

    [Fact]
    public void The_table_has_these_settings_and_no_other_sorted_by_name()
    {
        List<string> names = [.. TopicSettingTable.All.Select(static setting => setting.Name)];
        Assert.Equal(KafkasDefaults.Select(static row => row.Data.Item1), names);
        Assert.Equal(names.Order(StringComparer.Ordinal), names);
    }

    [Fact]
    public void Every_setting_takes_the_text_that_it_gives_and_changes_nothing_else()
    {
        foreach (TopicSetting setting in TopicSettingTable.All)
        {
            string other = OtherValue(setting);
            TopicLogSettings changed = Apply((setting.Name, other));
            Assert.Equal(other, setting.ValueIn(changed));
            Assert.NotEqual(TopicLogSettings.Default, changed);
            Assert.Equal(TopicLogSettings.Default, setting.TryApply(changed, setting.DefaultValue));
            foreach (TopicSetting untouched in TopicSettingTable.All.Where(candidate => candidate != setting))
            {
                Assert.Equal(untouched.DefaultValue, untouched.ValueIn(changed));
            }
        }
    }

    [Fact]
    public void Every_setting_is_documented_in_a_sentence_with_the_broker_s_name_and_what_is_allowed()
    {
        Assert.All(TopicSettingTable.All, static setting =>
        {
            Assert.EndsWith(".", setting.Documentation, StringComparison.Ordinal);
            Assert.NotEmpty(setting.AllowedValues);
            Assert.NotEmpty(setting.BrokerName);
        });
        Assert.Equal(TopicSettingTable.All.Count, TopicSettingTable.All.Select(static setting => setting.BrokerName).Distinct().Count());
    }

    [Theory]
    [InlineData("cleanup.policy", "compact", "compact")]
    [InlineData("cleanup.policy", " delete , compact ", "compact,delete")]
    [InlineData("cleanup.policy", "", "")]
    [InlineData("preallocate", "TRUE", "true")]
    [InlineData("retention.ms", " -1 ", "-1")]
    [InlineData("retention.bytes", "-2", "-2")]
    [InlineData("segment.bytes", "1048576", "1048576")]
    [InlineData("min.cleanable.dirty.ratio", "1", "1")]
    [InlineData("min.cleanable.dirty.ratio", "0.010", "0.01")]
    [InlineData("compression.type", "uncompressed", "uncompressed")]
    public void Values_at_the_edge_are_taken(string name, string text, string value)
    {
        Assert.True(TopicSettingTable.TryFind(name, out TopicSetting? setting));
        Assert.Equal(value, setting.ValueIn(Apply((name, text))));
    }

    [Theory]
    [InlineData("cleanup.policy", "Compact", "'Compact' is no value of cleanup.policy. Allowed is a list of 'delete' and 'compact', or nothing.")]
    [InlineData("cleanup.policy", "compact,", "'compact,' is no value of cleanup.policy")]
    [InlineData("compression.type", "brotli", "Allowed is one of producer, uncompressed, gzip, snappy, lz4, zstd.")]
    [InlineData("retention.ms", "-2", "'-2' is no value of retention.ms. Allowed is a whole number, at least -1.")]
    [InlineData("retention.ms", "7d", "'7d' is no value of retention.ms")]
    [InlineData("retention.bytes", "1e9", "Allowed is a whole number; a negative one means no limit.")]
    [InlineData("segment.bytes", "1048575", "Allowed is a whole number from 1048576 to 2147483647.")]
    [InlineData("segment.bytes", "2147483648", "'2147483648' is no value of segment.bytes")]
    [InlineData("segment.index.bytes", "11", "Allowed is a whole number from 12 to 2147483647.")]
    [InlineData("min.cleanable.dirty.ratio", "1.1", "Allowed is a number from 0 to 1.")]
    [InlineData("min.cleanable.dirty.ratio", "NaN", "Allowed is a number from 0 to 1.")]
    [InlineData("preallocate", "yes", "Allowed is true or false.")]
    [InlineData("message.timestamp.type", "createtime", "Allowed is CreateTime or LogAppendTime.")]
    [InlineData("max.compaction.lag.ms", "0", "Allowed is a whole number, at least 1.")]
    [InlineData("remote.storage.enable", "false", "The topic setting 'remote.storage.enable' is not served: there is no tiered storage.")]
    [InlineData("local.retention.ms", "-2", "set retention.ms")]
    [InlineData("retentoin.ms", "1", "There is no topic setting 'retentoin.ms'. Allowed is one of cleanup.policy, compression.type,")]
    public void A_wrong_value_is_refused_with_what_is_allowed(string name, string text, string sentence)
    {
        var overrides = new Dictionary<string, string> { [name] = text };
        Assert.False(TopicSettingTable.TryApply(TopicLogSettings.Default, overrides, out TopicLogSettings? settings, out string? error));
        Assert.Null(settings);
        Assert.Contains(sentence, error, StringComparison.Ordinal);
        Assert.EndsWith(".", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Compaction_lags_that_contradict_each_other_are_refused_also_against_the_defaults()
    {
        var overrides = new Dictionary<string, string> { ["min.compaction.lag.ms"] = "5000" };
        TopicLogSettings defaults = TopicLogSettings.Default with { MaximumCompactionLagMilliseconds = 4000 };
        Assert.False(TopicSettingTable.TryApply(defaults, overrides, out _, out string? error));
        Assert.Equal(
            "min.compaction.lag.ms is 5000 and max.compaction.lag.ms 4000. Allowed is a minimum that is not above the maximum.", error);
        overrides["max.compaction.lag.ms"] = "5000";
        Assert.True(TopicSettingTable.TryApply(defaults, overrides, out _, out _));
    }

    [Fact]
    public void A_compacted_log_closes_its_segments_in_time_for_its_largest_lag()
    {
        TopicLogSettings lag = TopicLogSettings.Default with { MaximumCompactionLagMilliseconds = 5, SegmentMilliseconds = 9 };
        Assert.Equal(9, lag.LongestSegmentMilliseconds);
        Assert.Equal(5, (lag with { CleanupPolicy = CleanupPolicy.Compact }).LongestSegmentMilliseconds);
        Assert.Equal(4, (lag with { CleanupPolicy = CleanupPolicy.Compact, SegmentMilliseconds = 4 }).LongestSegmentMilliseconds);
    }

    [Fact]
    public void Codecs_are_named_as_kafka_names_them()
    {
        Assert.Null(TopicLogSettings.Default.Compression);
        Assert.Equal(CompressionCodec.None, Apply(("compression.type", "uncompressed")).Compression);
        Assert.Equal(CompressionCodec.Zstd, Apply(("compression.type", "zstd")).Compression);
    }

    private static TopicLogSettings Apply(params (string Name, string Text)[] overrides)
    {
        Assert.True(
            TopicSettingTable.TryApply(
                TopicLogSettings.Default,
                overrides.ToDictionary(static pair => pair.Name, static pair => pair.Text),
                out TopicLogSettings? settings,
                out string? error),
            error);
        return settings!;
    }

    private static string OtherValue(TopicSetting setting) => setting.Name switch
    {
        "cleanup.policy" => "compact,delete",
        "compression.type" => "lz4",
        "message.timestamp.type" => "LogAppendTime",
        "min.cleanable.dirty.ratio" => "0.25",
        _ => setting.Kind == TopicSettingKind.Boolean ? "true" : "2000000",
    };
}
