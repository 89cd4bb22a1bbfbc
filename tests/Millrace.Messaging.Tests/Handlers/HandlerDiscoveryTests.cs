using Microsoft.Extensions.DependencyInjection;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

public sealed class HandlerDiscoveryTests
{
    [Fact]
    public async Task Handlers_are_called_on_an_instance_of_the_message_s_scope()
    {
        Log log = new();
        await using ServiceProvider services = new ServiceCollection().AddSingleton(log).AddScoped<Everything>().BuildServiceProvider();
        Dictionary<Type, HandlerDefinition> handlers = HandlerDiscovery.Find(typeof(Everything)).ToDictionary(handler => handler.MessageType);
        using CancellationTokenSource source = new();

        Assert.Same(HandlerAnswer.Nothing, await CallAsync(new OrderCreated(Guid.Empty, 1)));
        Assert.Same(HandlerAnswer.Nothing, await CallAsync(new OrderShipped("1")));
        Assert.Equal(new HandlerAnswer(new PaymentReceipt("r"), null), await CallAsync(new ChargePayment(Guid.Empty, 1)));
        Assert.Equal(new HandlerAnswer(null, new Rejection("too-much")), await CallAsync(new ChargePayment(Guid.Empty, 1_000)));
        Assert.Equal(new HandlerAnswer(null, new Rejection("no")), await CallAsync(new RefundPayment(Guid.Empty)));
        Assert.Equal(new HandlerAnswer(12, null), await CallAsync(new Measure()));

        Assert.Equal(["OrderCreated True True", "OrderShipped"], log.Lines);

        async Task<HandlerAnswer> CallAsync(object message)
        {
            await using AsyncServiceScope scope = services.CreateAsyncScope();
            ConsumerRecord record = new(new TopicPartition("t", 0), default, 0, default, null, null, []);
            MessageContext context = new(new MessagePublisher(), "e", MessageKind.Command, Envelope.Read(record), record, 1, scope.ServiceProvider);
            return await handlers[message.GetType()].Invoke(message, context, source.Token);
        }
    }

    [Theory]
    [InlineData(typeof(NoHandler), "has no public method named HandleAsync")]
    [InlineData(typeof(ReturnsVoid), "it returns Void")]
    [InlineData(typeof(ExtraParameter), "the parameter 'clock' is a TimeProvider")]
    [InlineData(typeof(Generic), "a handler is not generic")]
    [InlineData(typeof(NoMessage), "the first parameter is the message")]
    [InlineData(typeof(EventWithAnswer), "events have no reply")]
    [InlineData(typeof(CommandWithoutAnswer), "asks for a PaymentReceipt. Return Task<Reply<PaymentReceipt>>")]
    [InlineData(typeof(WrongAnswer), "it returns a Reply<String>, but ChargePayment asks for a PaymentReceipt")]
    [InlineData(typeof(UndeclaredAnswer), "RefundPayment declares no reply")]
    public void A_handler_that_cannot_be_called_is_refused_with_its_reason(Type handlers, string reason)
    {
        MillraceConfigurationException failure = Assert.Throws<MillraceConfigurationException>(() => HandlerDiscovery.Find(handlers));

        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.Contains(handlers.Name, failure.Message, StringComparison.Ordinal);
    }

    private sealed class Log
    {
        public List<string> Lines { get; } = [];
    }

    private sealed class Everything(Log log)
    {
        public Task HandleAsync(OrderCreated message, MessageContext context, CancellationToken cancellationToken)
        {
            log.Lines.Add($"{message.GetType().Name} {context.Endpoint == "e"} {cancellationToken.CanBeCanceled}");
            return Task.CompletedTask;
        }

        public ValueTask HandleAsync(OrderShipped message)
        {
            log.Lines.Add(message.GetType().Name);
            return ValueTask.CompletedTask;
        }

        public async Task<Reply<PaymentReceipt>> HandleAsync(CancellationTokenlessCharge _) => await Task.FromResult(new PaymentReceipt("x"));

        public async ValueTask<Reply<PaymentReceipt>> HandleAsync(ChargePayment command, CancellationToken cancellationToken)
        {
            await Task.Yield();
            cancellationToken.ThrowIfCancellationRequested();
            if (command.Amount > 100) return Reply.Reject("too-much");
            return new PaymentReceipt("r");
        }

        public Task<Reply> HandleAsync(RefundPayment _) => Task.FromResult<Reply>(Reply.Reject("no"));

        public Task<int> HandleAsync(Measure _) => Task.FromResult(12);
    }

    [Command("test.charge")]
    private sealed record CancellationTokenlessCharge : ICommand<PaymentReceipt>;

    [Command("test.measure")]
    private sealed record Measure : ICommand<int>;

    private sealed class NoHandler;

    private sealed class ReturnsVoid
    {
        public void HandleAsync(OrderCreated _) => throw new InvalidOperationException();
    }

    private sealed class ExtraParameter
    {
        public Task HandleAsync(OrderCreated _, TimeProvider clock) => Task.CompletedTask;
    }

    private sealed class Generic
    {
        public Task HandleAsync<T>(T message) => Task.CompletedTask;
    }

    private sealed class NoMessage
    {
        public Task HandleAsync() => Task.CompletedTask;
    }

    private sealed class EventWithAnswer
    {
        public Task<int> HandleAsync(OrderCreated _) => Task.FromResult(1);
    }

    private sealed class CommandWithoutAnswer
    {
        public Task HandleAsync(ChargePayment _) => Task.CompletedTask;
    }

    private sealed class WrongAnswer
    {
        public Task<Reply<string>> HandleAsync(ChargePayment _) => Task.FromResult<Reply<string>>("");
    }

    private sealed class UndeclaredAnswer
    {
        public Task<string> HandleAsync(RefundPayment _) => Task.FromResult("");
    }
}
