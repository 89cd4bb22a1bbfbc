using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class MetadataCacheTests
{
    private static readonly BrokerAddress Bootstrap = new("bootstrap", 9092);
    private static readonly BrokerAddress One = new("one", 1);
    private static readonly BrokerAddress Two = new("two", 2);

    private readonly MetadataNetwork _network = new();
    private readonly ManualTime _time = new();

    [Fact]
    public async Task When_no_known_broker_answers_the_bootstrap_servers_are_asked()
    {
        await using Parts parts = Create();
        await LearnAsync(parts, One);
        _network.Down(One);
        _network.Answer(Bootstrap, Metadata(Two));
        await parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit);
        Assert.Equal([One, Bootstrap], _network.Attempts);
        Assert.Equal(Two, Assert.Single(parts.Cache.View.Brokers.Values).Address);
    }

    [Fact]
    public async Task Without_recovery_only_known_brokers_are_asked()
    {
        await using Parts parts = Create(options => options.MetadataRecovery = MetadataRecovery.None);
        await LearnAsync(parts, One);
        _network.Down(One);
        await Assert.ThrowsAsync<KafkaConnectionException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        Assert.Equal([One], _network.Attempts);
    }

    [Fact]
    public async Task A_broker_that_sends_the_client_back_is_given_up_and_the_bootstrap_servers_asked()
    {
        await using Parts parts = Create();
        await LearnAsync(parts, One);
        _network.Answer(One, new MetadataResponse { ErrorCode = ErrorCode.RebootstrapRequired });
        _network.Answer(Bootstrap, Metadata(Two));
        await parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit);
        Assert.Equal(Two, Assert.Single(parts.Cache.View.Brokers.Values).Address);
    }

    [Fact]
    public async Task A_broker_that_does_not_know_its_cluster_yet_is_not_believed()
    {
        await using Parts parts = Create();
        await LearnAsync(parts, One);
        _network.Answer(One, new MetadataResponse());
        _network.Answer(Bootstrap, Metadata(Two));
        await parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit);
        Assert.Equal(Two, Assert.Single(parts.Cache.View.Brokers.Values).Address);
    }

    [Fact]
    public async Task A_cluster_that_sends_the_client_back_for_ever_is_an_error_and_no_loop()
    {
        await using Parts parts = Create();
        _network.Answer(Bootstrap, new MetadataResponse { ErrorCode = ErrorCode.RebootstrapRequired });
        KafkaBrokerException failure = await Assert.ThrowsAsync<KafkaBrokerException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        Assert.Equal(ErrorCode.RebootstrapRequired, failure.ErrorCode);
    }

    [Fact]
    public async Task Brokers_that_have_not_answered_for_too_long_are_not_asked_first_any_more()
    {
        await using Parts parts = Create(options =>
        {
            options.ReconnectBackoff = TimeSpan.Zero;
            options.MetadataMaxAge = TimeSpan.FromHours(1);
        });
        await LearnAsync(parts, One);
        _network.Down(One);
        _network.Down(Bootstrap);
        await Assert.ThrowsAsync<KafkaConnectionException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        _time.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromMilliseconds(1));
        _network.Attempts.Clear();
        await Assert.ThrowsAsync<KafkaConnectionException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        Assert.Equal([One, Bootstrap], _network.Attempts);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        _network.Attempts.Clear();
        await Assert.ThrowsAsync<KafkaConnectionException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        Assert.Equal([Bootstrap], _network.Attempts);
    }

    [Fact]
    public async Task Each_of_those_who_share_a_refresh_that_fails_is_told_so()
    {
        await using Parts parts = Create();
        _network.Down(Bootstrap);
        await Assert.ThrowsAsync<KafkaConnectionException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));

        // The first of these waits for the back-off, and meanwhile the others come, who share the next one.
        Task[] refreshes = [.. Enumerable.Range(0, 4).Select(_ => parts.Cache.RefreshAsync(CancellationToken.None))];
        await Until.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return Array.TrueForAll(refreshes, static refresh => refresh.IsCompleted);
            },
            "the end of the refreshes");
        Assert.All(refreshes, static refresh => Assert.IsType<KafkaConnectionException>(refresh.Exception?.InnerException));
        Assert.Equal(3, _network.Attempts.Count);
    }

    [Theory]
    [InlineData(true, ErrorCode.None, "No broker answered")]
    [InlineData(false, ErrorCode.UnknownTopicOrPartition, "no such topic")]
    public async Task Who_waits_for_a_topic_in_vain_is_told_whether_it_is_missing_or_no_broker_answers(bool isDown, ErrorCode expected, string reason)
    {
        await using Parts parts = Create();
        if (isDown)
        {
            _network.Down(Bootstrap);
        }
        else
        {
            MetadataResponse without = Metadata(Bootstrap);
            without.Topics = [new MetadataTopic { Name = "refunds", ErrorCode = ErrorCode.UnknownTopicOrPartition }];
            _network.Answer(Bootstrap, without);
        }

        Task<TopicDescription> waiting = parts.Cache.GetTopicAsync("refunds", TimeSpan.FromSeconds(5), CancellationToken.None).AsTask();
        await Until.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return waiting.IsCompleted;
            },
            "the time-out");
        KafkaTimeoutException failure = await Assert.ThrowsAsync<KafkaTimeoutException>(() => waiting);
        Assert.Equal(expected, failure.ErrorCode);
        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Each_attempt_that_brings_no_answer_to_who_waits_for_a_topic_is_told_in_the_log()
    {
        var loggers = new RecordingLoggers();
        await using Parts parts = Create(loggers: loggers);
        _network.Down(Bootstrap);
        Task<TopicDescription> waiting = parts.Cache.GetTopicAsync("refunds", TimeSpan.FromSeconds(60), CancellationToken.None).AsTask();
        string[] told = [];
        await Until.TrueAsync(
            () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(10));
                told = [.. loggers.Lines.Where(static line => line.StartsWith("Metadata could not be refreshed", StringComparison.Ordinal))];
                return told.Length >= 2 || waiting.IsCompleted;
            },
            "two lines");
        Assert.False(waiting.IsCompleted);
        Assert.All(told, static line => Assert.Contains("bootstrap:9092 is down", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_leader_that_an_answer_names_is_known_at_once_and_told_to_who_waits()
    {
        await using Parts parts = Create();
        await LearnAsync(parts, One, Two);
        int changeCount = 0;
        parts.Cache.Changed += () => changeCount++;
        var partition = new TopicPartition("orders", 0);
        Assert.True(parts.Cache.TryUpdateLeader(partition, new LeaderIdAndEpoch { LeaderId = 2, LeaderEpoch = 1 }, []));
        Assert.False(parts.Cache.TryUpdateLeader(partition, new LeaderIdAndEpoch { LeaderId = 1, LeaderEpoch = 1 }, []));
        Assert.False(parts.Cache.TryUpdateLeader(partition, null, []));
        Assert.True(parts.Cache.View.TryGetLeader(partition, out BrokerDescription? leader, out int epoch));
        Assert.Equal((Two, 1, 1), (leader.Address, epoch, changeCount));
    }

    [Fact]
    public async Task Brokers_that_have_refused_the_login_for_too_long_are_not_asked_first_any_more()
    {
        await using Parts parts = Create(options => options.MetadataMaxAge = TimeSpan.FromHours(1));
        await LearnAsync(parts, One);
        _network.Down(One);
        _network.Down(Bootstrap);
        await Until.TrueAsync(() => parts.Pool.Find(Bootstrap, ConnectionPurpose.General) is null, "the end of the connection");
        _network.Refusal = new KafkaAuthenticationException("The password is wrong.", One, "PLAIN", ErrorCode.SaslAuthenticationFailed);
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        _time.Advance(TimeSpan.FromMinutes(5));
        _network.Attempts.Clear();
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit));
        Assert.Equal([Bootstrap], _network.Attempts);
    }

    [Fact]
    public async Task A_topic_that_nobody_uses_any_more_is_forgotten_and_one_that_is_used_stays()
    {
        await using Parts parts = Create(options => options.MetadataMaxAge = TimeSpan.FromHours(1));
        await LearnAsync(parts, One);
        MetadataResponse both = Metadata(One);
        both.Topics.Add(new MetadataTopic { Name = "payments", TopicId = new Guid("22222222-2222-2222-2222-222222222222"), Partitions = [new MetadataPartition { LeaderId = 1, LeaderEpoch = 0 }] });
        _network.Answer(One, both);
        parts.Cache.Track(["payments"]);
        await RefreshAsync(parts);
        var partition = new TopicPartition("orders", 0);
        for (int i = 0; i < 7; i++)
        {
            await RefreshAsync(parts);
            Assert.Equal(i < 6 ? ["orders", "payments"] : ["orders"], LastTopics());
            _time.Advance(TimeSpan.FromMinutes(1));

            // Whoever sends to a partition, or reads it, asks who leads it.
            Assert.True(parts.Cache.View.TryGetLeader(partition, out _, out _));
        }

        _time.Advance(TimeSpan.FromMinutes(5));
        await RefreshAsync(parts);
        Assert.Equal(["orders"], LastTopics());
        _time.Advance(TimeSpan.FromMinutes(6));
        await RefreshAsync(parts);
        Assert.Equal([], LastTopics());
        Assert.Null(parts.Cache.FindTopic("orders"));

        // Who comes back to it has it looked up.
        Assert.Equal("orders", (await parts.Cache.GetTopicAsync("orders", Until.Limit, CancellationToken.None)).Name);
        Assert.Equal(["orders"], LastTopics());
    }

    [Fact]
    public async Task A_topic_is_created_when_it_is_first_asked_for_and_never_by_a_refresh()
    {
        await using Parts parts = Create();
        await LearnAsync(parts, One);
        Assert.True(_network.Questions.Single().AllowAutoTopicCreation);
        await RefreshAsync(parts);
        Assert.False(_network.Questions.Last().AllowAutoTopicCreation);

        // Another one is asked for with it: by a question of its own.
        parts.Cache.Track(["payments"]);
        await RefreshAsync(parts);
        Assert.Equal(["orders", "payments"], _network.Questions.TakeLast(2).SelectMany(question => question.Topics!).Select(topic => topic.Name).Order());
        Assert.Equal(["payments"], _network.Questions.TakeLast(2).Where(question => question.AllowAutoTopicCreation).SelectMany(question => question.Topics!).Select(topic => topic.Name));

        // Deleted: only who produces to it has it created again.
        MetadataResponse deleted = Metadata(One);
        deleted.Topics[0] = new MetadataTopic { Name = "orders", ErrorCode = ErrorCode.UnknownTopicOrPartition };
        _network.Answer(One, deleted);
        await RefreshAsync(parts);
        await RefreshAsync(parts);
        Assert.DoesNotContain(_network.Questions.TakeLast(2), question => question.AllowAutoTopicCreation && question.Topics!.Exists(topic => topic.Name == "orders"));
        _network.Answer(One, Metadata(One));
        await parts.Cache.GetTopicAsync("orders", Until.Limit, CancellationToken.None);
        Assert.Contains(_network.Questions.TakeLast(2), question => question.AllowAutoTopicCreation && question.Topics!.Exists(topic => topic.Name == "orders"));
    }

    [Fact]
    public async Task Refreshes_that_are_wanted_again_and_again_come_less_and_less_often()
    {
        await using Parts parts = Create(options => options.MetadataMaxAge = TimeSpan.FromHours(1));
        await LearnAsync(parts, One);

        // Whoever finds no leader in the new picture wants another one.
        parts.Cache.Changed += parts.Cache.RequestRefresh;
        _network.Questions.Clear();
        parts.Cache.RequestRefresh();
        await AskedAsync(1);
        int count = 1;
        long begun = _time.GetTimestamp();
        for (int round = 0; round < 6; round++)
        {
            await Until.TrueAsync(
                () =>
                {
                    _time.AdvanceToNext(TimeSpan.FromSeconds(2));
                    return _network.Questions.Count > count;
                },
                "the next refresh");
            count = _network.Questions.Count;
        }

        // 100, 200, 400, 800, 1000 and 1000 ms, each a fifth more or less.
        Assert.InRange(_time.GetElapsedTime(begun), TimeSpan.FromSeconds(2.8), TimeSpan.FromSeconds(4.3));

        Task AskedAsync(int wanted) => Until.TrueAsync(() => _network.Questions.Count >= wanted, $"{wanted} questions");
    }

    private static Task RefreshAsync(Parts parts) => parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit);

    private IEnumerable<string?> LastTopics() => _network.Questions.Last().Topics!.Select(topic => topic.Name).Order();

    private async Task LearnAsync(Parts parts, params BrokerAddress[] brokers)
    {
        _network.Answer(Bootstrap, Metadata(brokers));
        parts.Cache.Track(["orders"]);
        await parts.Cache.RefreshAsync(CancellationToken.None).WaitAsync(Until.Limit);
        foreach (BrokerAddress broker in brokers)
        {
            _network.Answer(broker, Metadata(brokers));
        }

        _time.Advance(TimeSpan.FromSeconds(1));
        _network.Attempts.Clear();
    }

    private static MetadataResponse Metadata(params BrokerAddress[] brokers) => new()
    {
        Brokers = [.. brokers.Select((broker, index) => new MetadataBroker { NodeId = index + 1, Host = broker.Host, Port = broker.Port })],
        Topics = [new MetadataTopic { Name = "orders", TopicId = new Guid("11111111-1111-1111-1111-111111111111"), Partitions = [new MetadataPartition { LeaderId = 1, LeaderEpoch = 0 }] }],
    };

    private Parts Create(Action<KafkaClientOptions>? configure = null, ILoggerFactory? loggers = null)
    {
        var options = new KafkaClientOptions { BootstrapServers = Bootstrap.ToString() };
        configure?.Invoke(options);
        var context = new ClientContext(ClientSettings.From(options), _network, _time, loggers ?? NullLoggerFactory.Instance, new Chance(new Random(1)));
        var pool = new ConnectionPool(context);
        return new Parts(pool, new MetadataCache(context, pool));
    }

    private sealed record Parts(ConnectionPool Pool, MetadataCache Cache) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Cache.DisposeAsync();
            await Pool.DisposeAsync();
        }
    }
}
