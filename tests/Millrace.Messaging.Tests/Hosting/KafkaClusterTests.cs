using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Messaging.Tests;

/// <summary>The application on a log that is not its own.</summary>
public sealed class KafkaClusterTests
{
    [Fact]
    public async Task A_host_waits_for_brokers_that_are_not_there_yet()
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it starts after the application", isTcp: true);
        broker.Abort();
        Seen<string> seen = new();
        using IHost host = Build(millrace =>
        {
            millrace.UseKafka(broker.Address);
            millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderShipped>(message => seen.Add(message.OrderId)));
        });
        Task starting = host.StartAsync();
        Assert.False(starting.IsCompleted);

        await broker.StartAgainAsync();
        await starting.WaitAsync(TestBroker.Patience);
        await host.Bus().PublishAsync(new OrderShipped("4711"));

        Assert.Equal(["4711"], await seen.WaitAsync(1));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_host_whose_brokers_never_come_says_where_it_looked()
    {
        using Socket nobody = new(SocketType.Stream, ProtocolType.Tcp);
        nobody.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        string address = nobody.LocalEndPoint!.ToString()!;
        using IHost host = Build(millrace => millrace.UseKafka(address, options => options.StartTimeout = TimeSpan.FromSeconds(1)));

        LogUnavailableException failure = await Assert.ThrowsAsync<LogUnavailableException>(() => host.StartAsync());

        Assert.StartsWith($"No broker of {address} has answered within 00:00:01. No broker answered a question for metadata. ", failure.Message, StringComparison.Ordinal);
        Assert.IsType<KafkaConnectionException>(failure.InnerException);
        Assert.True(failure.IsTransient);
    }

    [Fact]
    public async Task Processes_that_start_together_share_the_topics_that_each_would_create()
    {
        await using TestBroker log = await TestBroker.StartAsync();
        Seen<int> seen = new();
        IHost[] hosts = [.. Enumerable.Range(0, 4).Select(_ => Build(millrace =>
        {
            millrace.UseLog((_, _) => Task.FromResult(new LogConnection(log.CreateClientOptions())));
            millrace.Configure(options => options.TopicPartitionCount = 4);
            millrace.AddProcessor(new ProcessorOptions
            {
                Name = "books", Topic = "books", PartitionCount = 3, CompanionTopics = ["books.state"], Create = _ => new Idle(),
            });
            millrace.AddEndpoint("numbers", endpoint => endpoint.Handle<Numbered>(message => seen.Add(message.Number)));
        }))];

        await Task.WhenAll(hosts.Select(host => host.StartAsync()));
        for (int number = 0; number < 40; number++) await hosts[number % 4].Bus().PublishAsync(new Numbered($"key {number}", number));

        await seen.WaitAsync(items => items.Distinct().Count() == 40);
        await using KafkaClient client = log.CreateClient();
        IReadOnlyList<TopicDescription> topics = (await client.Admin.DescribeAsync(["test.events", "numbers.dead-letters", "books", "books.state"])).Topics;
        Assert.Equal([3, 3, 4, 4], topics.Select(topic => topic.Partitions.Count));
        await Task.WhenAll(hosts.Select(host => host.StopAsync()));
        foreach (IHost host in hosts) host.Dispose();
    }

    [Fact]
    public async Task Topics_are_created_with_what_the_options_say_and_those_that_exist_stay_as_they_are()
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it looks at its settings", isTcp: true);
        await using KafkaClient client = broker.CreateClient();
        await client.Admin.CreateTopicsAsync([new NewTopic("shop.events", 3)]);
        using IHost host = Build(millrace =>
        {
            millrace.UseKafka(broker.Address, options => (options.ReplicationFactor, options.MinInSyncReplicas) = (1, 1));
            millrace.AddProcessor(new ProcessorOptions
            {
                Name = "books", Topic = "books", PartitionCount = 2, CompanionTopics = ["books.state"], Create = _ => new Idle(),
            });
            millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderShipped>(_ => { }).Handle<Numbered>(_ => { }));
        });
        await host.StartAsync();

        Assert.Equal(["min.insync.replicas=1"], await ReadSettingsAsync(broker, "test.events"));
        Assert.Equal(["cleanup.policy=compact", "min.insync.replicas=1"], await ReadSettingsAsync(broker, "books.state"));
        Assert.Empty(await ReadSettingsAsync(broker, "shop.events"));
        await host.StopAsync();
    }

    [Fact]
    public async Task State_in_a_topic_that_throws_its_records_away_is_refused_with_what_to_do()
    {
        await using TestBroker log = await TestBroker.StartAsync();
        await using (KafkaClient client = log.CreateClient())
            await client.Admin.CreateTopicsAsync([new NewTopic("books.state", 2) { Configuration = new Dictionary<string, string> { ["cleanup.policy"] = "delete" } }]);
        using IHost host = Build(millrace =>
        {
            millrace.UseLog((_, _) => Task.FromResult(new LogConnection(log.CreateClientOptions())));
            millrace.AddProcessor(new ProcessorOptions
            {
                Name = "books", Topic = "books", PartitionCount = 2, CompanionTopics = ["books.state"], Create = _ => new Idle(),
            });
        });

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.StartsWith("The topic books.state has cleanup.policy=delete", Assert.Single(failure.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_copies_than_there_are_brokers_are_waited_for_and_then_refused_with_a_sentence()
    {
        await using TestBroker broker = await TestBroker.StartOwnAsync("it is alone");
        await using KafkaClient client = broker.CreateClient();
        ManualTime time = new();
        TopicCreator topics = new(client.Admin, new TopicSettings(1, ReplicationFactor: 3, new Dictionary<string, string>()), time, NullLogger.Instance);
        int waits = 0;

        Task creating = topics.EnsureAsync(["shop.events"], CancellationToken.None);
        while (!creating.IsCompleted)
        {
            if (time.PendingTimerCount > 0)
            {
                waits++;
                time.Advance(TimeSpan.FromSeconds(1));
            }

            await Task.Yield();
        }

        KafkaBrokerException failure = await Assert.ThrowsAsync<KafkaBrokerException>(() => creating);
        Assert.StartsWith("The topic shop.events cannot be created:", failure.Message, StringComparison.Ordinal);
        Assert.EndsWith("Set ReplicationFactor of UseKafka to at most the number of brokers, or start the missing ones.", failure.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.InvalidReplicationFactor, failure.ErrorCode);
        Assert.Equal(15, waits);
    }

    [Fact]
    public async Task An_application_whose_topics_exist_asks_for_none_to_be_created()
    {
        await using TestBroker log = await TestBroker.StartAsync();
        ConcurrentBag<ApiKey> asked = [];
        for (int run = 0; run < 2; run++)
        {
            asked.Clear();
            using IHost host = Build(millrace =>
            {
                millrace.UseLog((_, _) => Task.FromResult(new LogConnection(log.CreateClientOptions())));
                millrace.Intercept(answer =>
                {
                    asked.Add(answer.Api);
                    return Task.CompletedTask;
                });
                millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderShipped>(_ => { }));
            });
            await host.StartAsync();
            await host.Bus().PublishAsync(new OrderShipped("4711"));
            await host.StopAsync();
            Assert.Equal(run == 0, asked.Contains(ApiKey.CreateTopics));
        }
    }

    [Fact]
    public async Task Applications_with_prefixes_share_a_log_and_do_not_meet()
    {
        await using TestBroker log = await TestBroker.StartAsync();
        Seen<string> staging = new(), test = new();
        using IHost first = Build(Prefixed(log, "staging.", staging));
        using IHost second = Build(Prefixed(log, "test.", test));
        await Task.WhenAll(first.StartAsync(), second.StartAsync());

        await first.Bus().PublishAsync(new OrderShipped("1"));
        await second.Bus().PublishAsync(new OrderShipped("bad"));
        await first.Bus().PublishAsync(new OrderShipped("bad"));
        await first.WaitUntilQuietAsync();
        await second.WaitUntilQuietAsync();

        Assert.Equal(["1", "bad"], staging.Items.Order());
        Assert.Equal(["bad"], test.Items);
        await using KafkaClient client = log.CreateClient();
        Assert.Equal(
            ["staging.mail.dead-letters", "staging.shop.events", "test.mail.dead-letters", "test.shop.events"],
            (await client.Admin.DescribeAsync()).Topics.Where(topic => !topic.IsInternal).Select(topic => topic.Name));
        IReadOnlyDictionary<Kafka.Records.TopicPartition, Kafka.Records.Offset> letters = await client.Admin.ListOffsetsAsync(
            [new("staging.mail.dead-letters", 0), new("test.mail.dead-letters", 0)], OffsetSpec.Latest);
        Assert.All(letters.Values, end => Assert.Equal(1, end.Value));
        await first.StopAsync();
        await second.StopAsync();
    }

    [Theory]
    [InlineData(0, null, 60, "ReplicationFactor is 0.")]
    [InlineData(3, 4, 60, "MinInSyncReplicas (4) is above ReplicationFactor (3)")]
    [InlineData(-1, 0, 60, "MinInSyncReplicas is 0.")]
    [InlineData(-1, null, 0, "StartTimeout is 00:00:00.")]
    public async Task Options_that_cannot_be_are_refused(short replicationFactor, int? minInSyncReplicas, int startSeconds, string expected)
    {
        using IHost host = Build(millrace => millrace.UseKafka("127.0.0.1:1", options =>
        {
            (options.ReplicationFactor, options.MinInSyncReplicas) = (replicationFactor, minInSyncReplicas);
            options.StartTimeout = TimeSpan.FromSeconds(startSeconds);
        }));

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.StartsWith(expected, failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("31094", "BootstrapServers holds '31094'")]
    [InlineData("127.0.0.1:31094;127.0.0.1:31095", "BootstrapServers holds '127.0.0.1:31094;127.0.0.1:31095'")]
    [InlineData("a:1,b :2", "BootstrapServers holds 'b :2'")]
    public async Task Addresses_that_are_none_are_refused(string bootstrapServers, string expected)
    {
        using IHost host = Build(millrace => millrace.UseKafka(bootstrapServers));

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.StartsWith(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_kinds_of_log_for_one_application_are_refused()
    {
        using IHost host = Build(millrace => millrace.UseEmbedded().UseKafka("127.0.0.1:1"));

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.StartsWith("UseEmbedded and UseKafka are called for one application", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(".test", 45, 3, "TopicPrefix is '.test'.")]
    [InlineData("a b", 45, 3, "TopicPrefix is 'a b'.")]
    [InlineData("", 45, 16, "HeartbeatInterval (00:00:16) is more than a third of SessionTimeout (00:00:45)")]
    [InlineData("", 3600, 3, "SessionTimeout is 01:00:00.")]
    public async Task Names_and_sessions_that_cannot_be_are_refused(string prefix, int sessionSeconds, int heartbeatSeconds, string expected)
    {
        using IHost host = Build(millrace =>
        {
            millrace.UseKafka("127.0.0.1:1");
            millrace.Configure(options =>
            {
                options.TopicPrefix = prefix;
                (options.SessionTimeout, options.HeartbeatInterval) = (TimeSpan.FromSeconds(sessionSeconds), TimeSpan.FromSeconds(heartbeatSeconds));
            });
        });

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.StartsWith(expected, failure.Message, StringComparison.Ordinal);
    }

    private static Action<MillraceBuilder> Prefixed(TestBroker log, string prefix, Seen<string> seen) => millrace =>
    {
        millrace.UseLog((_, _) => Task.FromResult(new LogConnection(log.CreateClientOptions())));
        millrace.Configure(options => (options.TopicPrefix, options.TopicPartitionCount) = (prefix, 1));
        millrace.AddEndpoint("mail", endpoint =>
        {
            endpoint.Failures.OnAnyException().DeadLetter();
            endpoint.Handle<OrderShipped>(message =>
            {
                seen.Add(message.OrderId);
                if (message.OrderId == "bad") throw new InvalidOperationException("Never.");
            });
        });
    };

    private static IHost Build(Action<MillraceBuilder> configure)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "Shop" });
        builder.AddMillrace(configure);
        return builder.Build();
    }

    /// <summary>What a topic has that is not the broker's default.</summary>
    private static async Task<string[]> ReadSettingsAsync(TestBroker broker, string topic)
    {
        Assert.True(BrokerAddress.TryParse(broker.Address, out BrokerAddress address));
        DescribeConfigsResponse response = await ClusterCalls.SendAsync<DescribeConfigsRequest, DescribeConfigsResponse>(
            address, new DescribeConfigsRequest { Resources = [new DescribeConfigsResource { ResourceType = 2, ResourceName = topic, ConfigurationKeys = null }] },
            version: 2, CancellationToken.None);
        const sbyte topicSource = 1;
        return [.. response.Results.Single().Configs.Where(config => config.ConfigSource == topicSource).Select(config => $"{config.Name}={config.Value}").Order(StringComparer.Ordinal)];
    }

    private sealed class Idle : PartitionProcessor
    {
        public override Task ProcessAsync(ConsumerRecord record, CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
