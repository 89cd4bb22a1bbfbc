using System.Globalization;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Settings that are given as text, under Kafka's names.</summary>
public sealed class BrokerSettingsTests
{
    [Fact]
    public async Task Every_setting_can_be_given_another_value_which_the_broker_then_tells()
    {
        Dictionary<string, string> others = new(StringComparer.Ordinal);
        await using (TestBroker broker = await TestBroker.StartAsync(static options => options.OffsetsTopicPartitionCount = 1))
        {
            foreach (DescribeConfigsResourceResult config in await DescribeAsync(broker))
            {
                if (BrokerSettings.Names.Contains(config.Name, StringComparer.Ordinal))
                {
                    others.Add(config.Name, Other(config.Name, config.Value!, (TopicSettingKind)config.ConfigType));
                }
            }
        }

        Assert.Equal(BrokerSettings.Names, others.Keys.Order(StringComparer.Ordinal));
        await using TestBroker changed = await TestBroker.StartAsync(options => Assert.True(BrokerSettings.TryApply(options, others, out string? error), error));
        Assert.All(
            (await DescribeAsync(changed)).Where(config => others.ContainsKey(config.Name)),
            config => Assert.Equal((config.Name, others[config.Name]), (config.Name, config.Value)));
    }

    [Fact]
    public async Task Topics_have_what_the_broker_was_given_where_they_say_nothing()
    {
        await using TestBroker broker = await TestBroker.StartAsync(static options => Assert.True(BrokerSettings.TryApply(
            options, new Dictionary<string, string> { ["log.retention.ms"] = " 5000 ", ["log.cleanup.policy"] = "compact,delete" }, out _)));
        await broker.CreateTopicAsync("orders");
        TopicLogSettings settings = broker.Partition("orders").Settings;
        Assert.Equal((5000, true, true), (settings.RetentionMilliseconds, settings.IsCompacted, settings.IsDeleted));
    }

    [Theory]
    [InlineData("no.such", "1", "There is no broker setting 'no.such'. The nearest are ")]
    [InlineData("log.retentoin.ms", "1", "There is no broker setting 'log.retentoin.ms'. The nearest are log.retention.ms, ")]
    [InlineData("log.retention.hours", "3", "There is no broker setting 'log.retention.hours' here: use log.retention.ms=10800000.")]
    [InlineData("log.retention.minutes", "-1", "There is no broker setting 'log.retention.minutes' here: use log.retention.ms=-1.")]
    [InlineData("log.roll.hours", "long", "There is no broker setting 'log.roll.hours' here: use log.roll.ms, in milliseconds.")]
    [InlineData("num.partitions", "many", "'many' is no value of num.partitions. Allowed is a whole number.")]
    [InlineData("num.partitions", "", "'' is no value of num.partitions.")]
    [InlineData("connections.max.idle.ms", "9223372036854775807", "'9223372036854775807' is no value of connections.max.idle.ms. Allowed is a whole number of milliseconds, at most 922337203685477.")]
    [InlineData("log.retention.ms", "long", "'long' is no value of log.retention.ms. Allowed is a whole number, at least -1.")]
    [InlineData("log.cleaner.enable", "yes", "'yes' is no value of log.cleaner.enable. Allowed is 'true' or 'false'.")]
    [InlineData("offsets.retention.minutes", "7d", "'7d' is no value of offsets.retention.minutes. Allowed is a whole number of minutes, at most 15372286728.")]
    [InlineData("log.cleaner.io.buffer.load.factor", "most", "'most' is no value of log.cleaner.io.buffer.load.factor. Allowed is a number, such as 0.9.")]
    public void A_setting_that_makes_no_sense_is_refused_with_a_sentence(string name, string value, string expected)
    {
        Assert.False(BrokerSettings.TryApply(new BrokerOptions(), new Dictionary<string, string> { [name] = value }, out string? error));
        Assert.StartsWith(expected, error, StringComparison.Ordinal);
    }

    private static string Other(string name, string value, TopicSettingKind kind) => (name, kind) switch
    {
        ("compression.type", _) => "gzip",
        ("log.message.timestamp.type", _) => nameof(MessageTimestampType.LogAppendTime),
        ("log.cleanup.policy", _) => "compact",
        ("sasl.enabled.mechanisms", _) => "SCRAM-SHA-512",
        (_, TopicSettingKind.Boolean) => value == "true" ? "false" : "true",
        (_, TopicSettingKind.Double) => "0.75",
        _ when long.Parse(value, CultureInfo.InvariantCulture) is var number =>
            (number is int.MaxValue or long.MaxValue ? number - 1 : number + 1).ToString(CultureInfo.InvariantCulture),
        _ => throw new InvalidOperationException($"What else than {value} could {name} be?"),
    };

    private static async Task<List<DescribeConfigsResourceResult>> DescribeAsync(TestBroker broker)
    {
        await using TestClient client = broker.Connect();
        DescribeConfigsResponse response = await client.SendAsync<DescribeConfigsRequest, DescribeConfigsResponse>(
            new DescribeConfigsRequest { Resources = [new DescribeConfigsResource { ResourceType = 4, ResourceName = "1", ConfigurationKeys = null }] }, 4);
        return response.Results[0].Configs;
    }
}
