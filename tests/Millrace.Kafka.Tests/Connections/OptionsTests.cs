using Microsoft.Extensions.Logging;

namespace Millrace.Kafka.Tests;

public sealed class OptionsTests
{
    [Theory]
    [InlineData("a:1, b ,[::1]:3", "a:1|b:9092|[::1]:3")]
    [InlineData("localhost", "localhost:9092")]
    [InlineData("kafka_1:9092,bücher.example:1,[fe80::1]:3,10.0.0.1", "kafka_1:9092|bücher.example:1|[fe80::1]:3|10.0.0.1:9092")]
    public void Bootstrap_servers_are_read(string text, string expected) => Assert.Equal(
        expected, string.Join('|', ClientSettings.From(new KafkaClientOptions { BootstrapServers = text }).BootstrapAddresses));

    [Theory]
    [InlineData("")]
    [InlineData("a:0")]
    [InlineData("a:70000")]
    [InlineData("http://a:1")]
    [InlineData(":1")]
    [InlineData("31094")]
    [InlineData("31094:9092")]
    [InlineData("127.0.0.1:31094;127.0.0.1:31095")]
    [InlineData("a;b")]
    [InlineData("a b:1")]
    [InlineData("::1:9092")]
    [InlineData("[a]:1")]
    public void Bootstrap_servers_that_make_no_sense_are_refused(string text)
    {
        ArgumentException failure = Assert.Throws<ArgumentException>(() => new KafkaClient(new KafkaClientOptions { BootstrapServers = text }));
        Assert.Equal(nameof(KafkaClientOptions.BootstrapServers), failure.ParamName);
        Assert.StartsWith($"BootstrapServers {(text.Length == 0 ? "is empty" : $"holds '{text}'")}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Defaults_are_accepted_and_idempotent()
    {
        ClientSettings client = ClientSettings.From(new KafkaClientOptions());
        Assert.True(ProducerSettings.From(new ProducerOptions(), client).IsIdempotent);
        Assert.False(ProducerSettings.From(new ProducerOptions { Acks = Acks.Leader }, client).IsIdempotent);
        ConsumerSettings.From(new ConsumerOptions());
    }

    [Fact]
    public void Options_that_contradict_each_other_are_refused_with_both_names()
    {
        ClientSettings client = ClientSettings.From(new KafkaClientOptions());
        (Action Create, string First, string Second)[] rows =
        [
            (() => ProducerSettings.From(new ProducerOptions { Acks = Acks.Leader, EnableIdempotence = true }, client), "EnableIdempotence", "Acks"),
            (() => ProducerSettings.From(new ProducerOptions { MaxInFlightRequests = 6 }, client), "MaxInFlightRequests", "EnableIdempotence"),
            (() => ProducerSettings.From(new ProducerOptions { DeliveryTimeout = TimeSpan.FromSeconds(30) }, client), "DeliveryTimeout", "RequestTimeout"),
            (() => ConsumerSettings.From(new ConsumerOptions { HeartbeatInterval = TimeSpan.FromSeconds(20) }), "HeartbeatInterval", "SessionTimeout"),
            (() => ConsumerSettings.From(new ConsumerOptions { GroupId = "" }), "GroupId", "null"),
        ];
        foreach ((Action create, string first, string second) in rows)
        {
            ArgumentException failure = Assert.ThrowsAny<ArgumentException>(create);
            Assert.Contains(first, failure.Message, StringComparison.Ordinal);
            Assert.Contains(second, failure.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_session_that_no_timer_takes_is_refused_by_its_name()
    {
        ArgumentException failure = Assert.ThrowsAny<ArgumentException>(() => ConsumerSettings.From(new ConsumerOptions { SessionTimeout = TimeSpan.MaxValue }));
        Assert.StartsWith("SessionTimeout is ", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Acks.Leader, null, 3210)]
    [InlineData(Acks.None, null, 3210)]
    [InlineData(Acks.All, false, 3211)]
    [InlineData(Acks.All, null, 0)]
    public async Task A_producer_that_may_lose_or_repeat_records_says_so_when_it_is_opened(Acks acks, bool? idempotence, int eventId)
    {
        var loggers = new RecordingLoggers();
        await using var client = new KafkaClient(new KafkaClientOptions { Connector = new ScriptedBroker() }, TimeProvider.System, loggers);
        client.CreateProducer(new ProducerOptions { Acks = acks, EnableIdempotence = idempotence });
        Assert.Equal(eventId == 0 ? [] : [eventId], loggers.EventIds.Where(id => id is 3210 or 3211));
    }

    private sealed class RecordingLoggers : ILoggerFactory, ILogger
    {
        public List<int> EventIds { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (EventIds)
            {
                EventIds.Add(eventId.Id);
            }
        }

        public void Dispose()
        {
            // Nothing is open.
        }
    }
}
