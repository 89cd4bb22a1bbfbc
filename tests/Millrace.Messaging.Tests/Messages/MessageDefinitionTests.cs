namespace Millrace.Messaging.Tests;

public sealed class MessageDefinitionTests
{
    [Theory]
    [InlineData(typeof(OrderCreated), "shop.order-created.v1", "shop.events")]
    [InlineData(typeof(OrderCreated2), "shop.order-created.v2", "shop.events")]
    [InlineData(typeof(Heartbeat), "heartbeat.v1", "heartbeat.events")]
    [InlineData(typeof(Audited), "shop.audit.v1", "audit")]
    [InlineData(typeof(ChargePayment), "payment.charge.v1", "payment.commands")]
    public void The_type_and_the_topic_follow_from_the_name(Type type, string typeName, string topic)
    {
        MessageDefinition definition = MessageDefinition.Of(type);

        Assert.Equal(typeName, definition.TypeName);
        Assert.Equal(topic, definition.Topic);
    }

    [Fact]
    public void A_command_knows_its_reply()
    {
        Assert.Equal(typeof(PaymentReceipt), MessageDefinition.Of(typeof(ChargePayment)).ReplyType);
        Assert.Null(MessageDefinition.Of(typeof(RefundPayment)).ReplyType);
    }

    [Fact]
    public void Keys_travel_as_text()
    {
        Guid id = Guid.Parse("0AF7651916CD43DD8448EB211C80319C");

        Assert.Equal("0af76519-16cd-43dd-8448-eb211c80319c", Key(new OrderCreated(id, 1)));
        Assert.Equal("4711", Key(new OrderShipped("4711")));
        Assert.Equal("-7", Key(new Audited(-7)));
        Assert.Null(MessageDefinition.Of(typeof(Heartbeat)).Key);
    }

    [Fact]
    public void A_null_key_is_refused_since_the_message_would_lose_its_order()
    {
        ArgumentException failure = Assert.Throws<ArgumentException>(() => Key(new OrderShipped(null!)));
        Assert.Contains("OrderShipped.OrderId is null", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(typeof(Unmarked), "neither [Event] nor [Command]")]
    [InlineData(typeof(Both), "both an event and a command")]
    [InlineData(typeof(BadName), "The message name 'shop order'")]
    [InlineData(typeof(BadVersion), "The version 0")]
    [InlineData(typeof(BadTopic), "The topic 'a/b'")]
    [InlineData(typeof(TwoKeys), "several properties with [MessageKey]")]
    [InlineData(typeof(BadKey), "A key is a string, a Guid or an integer")]
    [InlineData(typeof(LostKey), "no public property of that name")]
    [InlineData(typeof(EventWithReply), "An event has no reply")]
    [InlineData(typeof(TwoReplies), "more than once")]
    public void A_type_that_declares_something_impossible_is_refused_with_its_reason(Type type, string reason)
    {
        MillraceConfigurationException failure = Assert.Throws<MillraceConfigurationException>(() => MessageDefinition.Of(type));

        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.Contains(type.Name, failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("shop.order-created.v2", true, "shop.order-created", 2)]
    [InlineData("shop.order-created", false, "", 0)]
    [InlineData("shop.order-created.v", false, "shop.order-created", 0)]
    [InlineData("shop.order-created.v-2", false, "shop.order-created", 0)]
    [InlineData(".v1", false, "", 0)]
    public void A_type_name_splits_into_name_and_version(string typeName, bool isOne, string name, int version)
    {
        Assert.Equal(isOne, MessageDefinition.TryParseTypeName(typeName, out string actualName, out int actualVersion));
        if (isOne) Assert.Equal((name, version), (actualName, actualVersion));
    }

    [Fact]
    public void Two_types_with_one_name_are_refused_naming_both()
    {
        MessageRegistry registry = new();
        registry.Get(typeof(OrderCreated));

        MillraceConfigurationException failure = Assert.Throws<MillraceConfigurationException>(() => registry.Get(typeof(SameName)));

        Assert.Contains("Millrace.Messaging.Tests.OrderCreated", failure.Message, StringComparison.Ordinal);
        Assert.Contains("SameName", failure.Message, StringComparison.Ordinal);
        Assert.Contains("shop.order-created.v1", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_name_is_not_both_an_event_and_a_command()
    {
        MessageRegistry registry = new();
        registry.Get(typeof(OrderCreated));

        MillraceConfigurationException failure = Assert.Throws<MillraceConfigurationException>(() => registry.Get(typeof(OtherKind)));

        Assert.Contains("is an event in Millrace.Messaging.Tests.OrderCreated and a command in", failure.Message, StringComparison.Ordinal);
    }

    private static string Key(object message) => MessageDefinition.Of(message.GetType()).Key!.Read(message);

    private sealed record Unmarked;

    [Event("a.b"), Command("a.b")]
    private sealed record Both;

    [Event("shop order")]
    private sealed record BadName;

    [Event("shop.order", Version = 0)]
    private sealed record BadVersion;

    [Event("shop.order", Topic = "a/b")]
    private sealed record BadTopic;

    [Event("shop.order")]
    private sealed record TwoKeys([property: MessageKey] int A, [property: MessageKey] int B);

    [Event("shop.order")]
    private sealed record BadKey([property: MessageKey] DateTime At);

    [Event("shop.order")]
    private sealed class LostKey([MessageKey] int number)
    {
        public int Other { get; } = number;
    }

    [Event("shop.order")]
    private sealed record EventWithReply : ICommand<int>;

    [Command("shop.order")]
    private sealed record TwoReplies : ICommand<int>, ICommand<string>;

    [Event("shop.order-created")]
    private sealed record SameName;

    [Command("shop.order-created", Version = 3)]
    private sealed record OtherKind;
}
