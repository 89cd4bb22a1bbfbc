using System.Globalization;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.</summary>
public sealed class ConfigApiTests
{
    private const sbyte Topic = 2;
    private const sbyte Broker = 4;
    private const sbyte Set = 0;
    private const sbyte Delete = 1;
    private const sbyte Append = 2;
    private const sbyte Subtract = 3;

    [Fact]
    public async Task A_setting_of_a_topic_is_described_with_where_it_comes_from()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await AlterAsync(client, "orders", ("retention.ms", Set, "1000"));
        for (short version = 0; version <= 4; version++)
        {
            DescribeConfigsResult result = await DescribeAsync(client, Topic, "orders", version);
            DescribeConfigsResourceResult own = result.Configs.Single(config => config.Name == "retention.ms");
            DescribeConfigsResourceResult ofBroker = result.Configs.Single(config => config.Name == "max.message.bytes");
            DescribeConfigsResourceResult byDefault = result.Configs.Single(config => config.Name == "cleanup.policy");
            Assert.Equal(("1000", "2000000", "delete"), (own.Value, ofBroker.Value, byDefault.Value));
            Assert.All(result.Configs, config => Assert.False(config.ReadOnly || config.IsSensitive));
            if (version == 0)
            {
                Assert.Equal((false, false, true), (own.IsDefault, ofBroker.IsDefault, byDefault.IsDefault));
                continue;
            }

            Assert.Equal((1, 4, 5), (own.ConfigSource, ofBroker.ConfigSource, byDefault.ConfigSource));
            Assert.Equal(["retention.ms=1000 of 1", "log.retention.ms=604800000 of 5"], own.Synonyms.Select(synonym => $"{synonym.Name}={synonym.Value} of {synonym.Source}"));
            Assert.Equal(["message.max.bytes=2000000 of 4", "message.max.bytes=1048588 of 5"], ofBroker.Synonyms.Select(synonym => $"{synonym.Name}={synonym.Value} of {synonym.Source}"));
            Assert.Equal(version >= 3 ? 5 : 0, own.ConfigType);
            Assert.Equal(version >= 3, own.Documentation is { Length: > 20 });
        }
    }

    [Fact]
    public async Task What_is_not_asked_for_is_left_out()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        DescribeConfigsResponse response = await client.SendAsync<DescribeConfigsRequest, DescribeConfigsResponse>(
            new DescribeConfigsRequest
            {
                Resources =
                [
                    new DescribeConfigsResource { ResourceType = Topic, ResourceName = "orders", ConfigurationKeys = ["segment.ms", "no.such"] },
                    new DescribeConfigsResource { ResourceType = Broker, ResourceName = "1", ConfigurationKeys = [] },
                    new DescribeConfigsResource { ResourceType = Topic, ResourceName = "orders", ConfigurationKeys = null },
                ],
            },
            4);
        DescribeConfigsResourceResult only = Assert.Single(response.Results[0].Configs);
        Assert.Equal(("segment.ms", 0), (only.Name, only.Synonyms.Count));
        Assert.Null(only.Documentation);

        // No keys at all are all of them, as in Kafka.
        Assert.Equal((await DescribeAsync(client, Broker, "1")).Configs.Select(static config => config.Name), response.Results[1].Configs.Select(static config => config.Name));

        // What stands twice is answered once, so that no answer outgrows its question without bound.
        Assert.Equal(2, response.Results.Count);
    }

    [Fact]
    public async Task The_broker_tells_its_own_settings_and_does_not_change_them()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        DescribeConfigsResult result = await DescribeAsync(client, Broker, "1");
        Assert.All(result.Configs, config => Assert.True(config.ReadOnly));
        Assert.Equal(result.Configs.Count, result.Configs.Select(config => config.Name).Distinct().Count());
        Assert.Equal(("2000000", 4), ValueAndSource("message.max.bytes"));
        Assert.Equal(("1", 4), ValueAndSource("broker.id"));
        Assert.Equal(("604800000", 5), ValueAndSource("log.retention.ms"));
        Assert.Equal(("0", 4), ValueAndSource("group.initial.rebalance.delay.ms"));
        Assert.Equal(broker.DataDirectory, ValueAndSource("log.dirs").Value);

        Assert.Empty((await DescribeAsync(client, Broker, "")).Configs);
        Assert.Equal(ErrorCode.InvalidRequest, (await DescribeAsync(client, Broker, "7")).ErrorCode);
        Assert.Equal(ErrorCode.InvalidRequest, (await DescribeAsync(client, 8, "1")).ErrorCode);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await DescribeAsync(client, Topic, "nowhere")).ErrorCode);
        Assert.Equal(ErrorCode.InvalidTopic, (await DescribeAsync(client, Topic, "a/b")).ErrorCode);

        IncrementalAlterConfigsResponse refused = await client.SendAsync<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(
            new IncrementalAlterConfigsRequest { Resources = [new IncrementalAlterConfigsResource { ResourceType = Broker, ResourceName = "1" }] }, 1);
        Assert.Equal(ErrorCode.InvalidRequest, refused.Responses[0].ErrorCode);

        (string? Value, int Source) ValueAndSource(string name)
        {
            DescribeConfigsResourceResult config = result.Configs.Single(config => config.Name == name);
            return (config.Value, config.ConfigSource);
        }
    }

    [Fact]
    public async Task Settings_are_changed_one_by_one_and_kept()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await AlterAsync(client, "orders", ("retention.ms", Set, "1000"), ("cleanup.policy", Append, "compact")));
        Assert.Equal(ErrorCode.None, await AlterAsync(client, "orders", ("segment.ms", Set, "5000"), ("cleanup.policy", Subtract, "delete")));
        Assert.Equal("cleanup.policy=compact retention.ms=1000 segment.ms=5000", Own(broker));
        Assert.Equal(ErrorCode.None, await AlterAsync(client, "orders", ("retention.ms", Delete, null), ("segment.ms", Delete, "")));
        Assert.Equal("cleanup.policy=compact", Own(broker));
        Assert.True(broker.Partition("orders").Settings.IsCompacted);
        await broker.CrashAndRestartAsync();
        Assert.Equal("cleanup.policy=compact", Own(broker));
    }

    [Fact]
    public async Task What_is_appended_to_a_list_comes_last_and_what_it_had_keeps_its_place()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        foreach (string appended in new[] { "compact", "delete", "compact, delete" })
        {
            Assert.Equal(ErrorCode.None, await AlterAsync(client, "orders", ("cleanup.policy", Append, appended)));
            Assert.Equal("cleanup.policy=delete,compact", Own(broker));
        }
    }

    [Theory]
    [InlineData("retention.ms", Set, "soon", ErrorCode.InvalidConfig)]
    [InlineData("no.such", Set, "1", ErrorCode.InvalidConfig)]
    [InlineData("no.such", Delete, null, ErrorCode.InvalidConfig)]
    [InlineData("retention.ms", Append, "1", ErrorCode.InvalidConfig)]
    [InlineData("cleanup.policy", Append, "shred", ErrorCode.InvalidConfig)]
    [InlineData("retention.ms", Set, null, ErrorCode.InvalidRequest)]
    [InlineData("retention.ms", 9, "1", ErrorCode.InvalidRequest)]
    public async Task A_change_that_makes_no_sense_changes_nothing(string name, sbyte operation, string? value, ErrorCode expected)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        Assert.Equal(expected, await AlterAsync(client, "orders", ("segment.ms", Set, "5000"), (name, operation, value)));
        Assert.Equal("", Own(broker));
    }

    [Fact]
    public async Task Each_resource_is_judged_alone_and_one_that_stands_twice_is_refused()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        IncrementalAlterableConfig change = new() { Name = "segment.ms", Value = "5000" };
        IncrementalAlterConfigsResponse response = await client.SendAsync<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(
            new IncrementalAlterConfigsRequest
            {
                Resources =
                [
                    .. new[] { "orders", "nowhere", "twice", "twice" }.Select(name => new IncrementalAlterConfigsResource { ResourceType = Topic, ResourceName = name, Configs = [change] }),
                ],
            },
            0);
        Assert.Equal(
            [ErrorCode.None, ErrorCode.UnknownTopicOrPartition, ErrorCode.InvalidRequest, ErrorCode.InvalidRequest],
            response.Responses.Select(answer => answer.ErrorCode));
        Assert.Equal(ErrorCode.InvalidRequest, await AlterAsync(client, "orders", ("segment.ms", Set, "1"), ("segment.ms", Set, "2")));
        Assert.Equal("segment.ms=5000", Own(broker));
    }

    [Fact]
    public async Task All_settings_are_replaced_at_once_by_the_older_api()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await AlterAsync(client, "orders", ("retention.ms", Set, "1000"));
        Assert.Equal(ErrorCode.None, await ReplaceAsync(client, "orders", validateOnly: true, ("segment.ms", "5000")));
        Assert.Equal("retention.ms=1000", Own(broker));
        Assert.Equal(ErrorCode.None, await ReplaceAsync(client, "orders", validateOnly: false, ("segment.ms", "5000")));
        Assert.Equal("segment.ms=5000", Own(broker));
        Assert.Equal(ErrorCode.InvalidConfig, await ReplaceAsync(client, "orders", validateOnly: false, ("segment.ms", "-5")));
        Assert.Equal(ErrorCode.InvalidRequest, await ReplaceAsync(client, "orders", validateOnly: false, ("segment.ms", null)));
        Assert.Equal(ErrorCode.InvalidRequest, await ReplaceAsync(client, "orders", validateOnly: false, ("segment.ms", "1"), ("segment.ms", "2")));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await ReplaceAsync(client, "nowhere", validateOnly: false));
        Assert.Equal("segment.ms=5000", Own(broker));
    }

    [Fact]
    public async Task The_largest_batch_is_a_setting_of_the_topic()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        await AlterAsync(client, "orders", ("max.message.bytes", Set, "100"));
        Assert.Equal(ErrorCode.MessageTooLarge, (await client.ProduceAsync("orders", Batches.Of(new string('x', 100)))).ErrorCode);
        await AlterAsync(client, "orders", ("max.message.bytes", Delete, null));
        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of(new string('x', 100)))).ErrorCode);
    }

    [Fact]
    public async Task A_topic_is_created_with_settings_and_answered_with_all_of_them()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();
        CreateTopicsRequest request = new()
        {
            Topics = [new CreatableTopic { Name = "table", PartitionCount = 1, ReplicationFactor = 1, Configs = [new CreatableTopicConfig { Name = "cleanup.policy", Value = "compact" }] }],
        };
        List<CreatableTopicResultConfig> configs = (await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(request, 7)).Topics[0].Configs!;
        Assert.Equal(("compact", 1), (configs.Single(config => config.Name == "cleanup.policy").Value, configs.Single(config => config.Name == "cleanup.policy").ConfigSource));
        Assert.Equal(("604800000", 5), (configs.Single(config => config.Name == "retention.ms").Value, configs.Single(config => config.Name == "retention.ms").ConfigSource));
        Assert.True(broker.Partition("table").Settings.IsCompacted);
    }

    [Theory]
    [InlineData("leader.replication.throttled.replicas", 1, "'leader.replication.throttled.replicas' is not served: there is one replica.")]
    [InlineData("leader.replication.throttled.replicas", 2, "'leader.replication.throttled.replicas' is not served: there is one replica.")]
    [InlineData("no.such.setting", 3, "There is no topic setting 'no.such.setting'. Allowed is one of cleanup.policy,")]
    [InlineData("compression.type", 2, "Only a list can be appended to or subtracted from, and compression.type is none.")]
    public async Task A_change_that_cannot_be_made_is_refused_with_the_reason(string name, sbyte operation, string expected)
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient client = broker.Connect();

        AlterConfigsResourceResponse refused = await AnswerAsync(client, "orders", (name, operation, "0"));

        Assert.Equal(ErrorCode.InvalidConfig, refused.ErrorCode);
        Assert.Contains(expected, refused.ErrorMessage);
    }

    [Fact]
    public async Task Of_changes_by_both_requests_at_once_none_is_lost()
    {
        await using TestBroker broker = await StartAsync();
        await using TestClient replacing = broker.Connect();
        await using TestClient changing = broker.Connect();
        for (int round = 1; round <= 50; round++)
        {
            string value = (60_000 + round).ToString(CultureInfo.InvariantCulture);
            Task<ErrorCode> replaced = ReplaceAsync(replacing, "orders", validateOnly: false, ("retention.ms", value));
            Task<ErrorCode> changed = AlterAsync(changing, "orders", ("segment.ms", 0, value));
            Assert.Equal([ErrorCode.None, ErrorCode.None], await Task.WhenAll(replaced, changed));
            Assert.Equal(value, broker.Broker.Topics.SettingsOf("orders")["retention.ms"]);
        }
    }

    private static async Task<TestBroker> StartAsync()
    {
        TestBroker broker = await TestBroker.StartAsync(options => options.MaxMessageByteCount = 2_000_000);
        await broker.CreateTopicAsync("orders");
        return broker;
    }

    private static string Own(TestBroker broker) =>
        string.Join(' ', broker.Broker.Topics.SettingsOf("orders").OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key}={pair.Value}"));

    private static async Task<DescribeConfigsResult> DescribeAsync(TestClient client, sbyte type, string name, short version = 4)
    {
        DescribeConfigsResponse response = await client.SendAsync<DescribeConfigsRequest, DescribeConfigsResponse>(
            new DescribeConfigsRequest
            {
                Resources = [new DescribeConfigsResource { ResourceType = type, ResourceName = name, ConfigurationKeys = null }],
                IncludeSynonyms = true,
                IncludeDocumentation = true,
            },
            version);
        return response.Results[0];
    }

    private static async Task<ErrorCode> AlterAsync(TestClient client, string topic, params (string Name, sbyte Operation, string? Value)[] changes) =>
        (await AnswerAsync(client, topic, changes)).ErrorCode;

    private static async Task<AlterConfigsResourceResponse> AnswerAsync(TestClient client, string topic, params (string Name, sbyte Operation, string? Value)[] changes)
    {
        IncrementalAlterConfigsResponse response = await client.SendAsync<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(
            new IncrementalAlterConfigsRequest
            {
                Resources =
                [
                    new IncrementalAlterConfigsResource
                    {
                        ResourceType = Topic,
                        ResourceName = topic,
                        Configs = [.. changes.Select(change => new IncrementalAlterableConfig { Name = change.Name, ConfigOperation = change.Operation, Value = change.Value })],
                    },
                ],
            },
            1);
        return response.Responses[0];
    }

    private static async Task<ErrorCode> ReplaceAsync(TestClient client, string topic, bool validateOnly, params (string Name, string? Value)[] settings)
    {
        AlterConfigsResponse response = await client.SendAsync<AlterConfigsRequest, AlterConfigsResponse>(
            new AlterConfigsRequest
            {
                ValidateOnly = validateOnly,
                Resources =
                [
                    new AlterConfigsResource
                    {
                        ResourceType = Topic,
                        ResourceName = topic,
                        Configs = [.. settings.Select(setting => new AlterableConfig { Name = setting.Name, Value = setting.Value })],
                    },
                ],
            },
            2);
        return response.Responses[0].ErrorCode;
    }
}
