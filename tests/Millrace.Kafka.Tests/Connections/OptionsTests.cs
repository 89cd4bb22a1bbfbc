namespace Millrace.Kafka.Tests;

public sealed class OptionsTests
{
    [Theory]
    [InlineData("a:1, b ,[::1]:3", "a:1|b:9092|[::1]:3")]
    [InlineData("localhost", "localhost:9092")]
    public void Bootstrap_servers_are_read(string text, string expected) => Assert.Equal(
        expected, string.Join('|', ClientSettings.From(new KafkaClientOptions { BootstrapServers = text }).BootstrapAddresses));

    [Theory]
    [InlineData("")]
    [InlineData("a:0")]
    [InlineData("a:70000")]
    [InlineData("http://a:1")]
    [InlineData(":1")]
    public void Bootstrap_servers_that_make_no_sense_are_refused(string text) => Assert.Throws<ArgumentException>(
        () => ClientSettings.From(new KafkaClientOptions { BootstrapServers = text }));

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
}
