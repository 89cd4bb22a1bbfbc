using System.Text;
using Microsoft.Extensions.Hosting;
using Millrace.Kafka;

namespace Millrace.Messaging.Tests;

public sealed class ReplyTests : IDisposable
{
    private readonly TestApplication _application = new();
    private readonly ManualTime _time = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task A_command_that_asks_for_a_reply_gets_the_handlers_value_after_what_the_handler_published()
    {
        using IHost host = await StartAsync(async (command, context, cancellationToken) =>
        {
            await context.PublishAsync(new OrderShipped("4711"), cancellationToken);
            return new PaymentReceipt($"for {command.Amount}");
        });
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), Asking("c-1") with { CorrelationId = "chain" });
        await host.WaitUntilQuietAsync();

        ConsumerRecord reply = Assert.Single(await host.ReadAllAsync("inbox"));
        Assert.Equal("saga/1", Encoding.UTF8.GetString(reply.Key!.Value.Span));
        Assert.Equal("{\"number\":\"for 10\"}", Encoding.UTF8.GetString(reply.Value!.Value.Span));
        Assert.Equal("c-1/reply", reply.Header("ce_id"));
        Assert.Equal("millrace.reply.v1", reply.Header("ce_type"));
        Assert.Equal("c-1", reply.Header("ce_causationid"));
        Assert.Equal("chain", reply.Header("ce_correlationid"));
        Assert.Equal("completed", reply.Header("millrace-status"));
        Assert.Null(reply.Header("millrace-reason"));
        Assert.Single(await host.ReadAllAsync("shop.events"));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_refusal_is_a_reply_and_is_never_retried()
    {
        Seen<int> attempts = new();
        using IHost host = await StartAsync((_, context, _) =>
        {
            attempts.Add(context.Attempt);
            return Task.FromResult<Reply<PaymentReceipt>>(Reply.Reject("card-declined"));
        });
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), Asking("c-1"));
        MessagingState state = await host.WaitUntilQuietAsync();

        Assert.Equal(0, state.DelayedCount);
        Assert.Equal([1], attempts.Items);
        ConsumerRecord reply = Assert.Single(await host.ReadAllAsync("inbox"));
        Assert.Equal(("rejected", "card-declined"), (reply.Header("millrace-status"), reply.Header("millrace-reason")));
        Assert.Equal("null", Encoding.UTF8.GetString(reply.Value!.Value.Span));
        Assert.Empty(await host.ReadAllAsync("payment.dead-letters"));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_lambda_that_refuses_a_command_without_a_value_is_heard()
    {
        using IHost host = await StartAsync(endpoint => endpoint.Handle<RefundPayment>((_, _, _) => Task.FromResult<Reply>(Reply.Reject("too-late"))));
        await host.Bus().SendAsync(new RefundPayment(Guid.Empty), Asking("r-1"));
        await host.WaitUntilQuietAsync();

        ConsumerRecord reply = Assert.Single(await host.ReadAllAsync("inbox"));
        Assert.Equal(("rejected", "too-late"), (reply.Header("millrace-status"), reply.Header("millrace-reason")));
        await host.StopAsync();
    }

    private static readonly Action<EndpointBuilder>[] s_lambdasThatRefuse =
    [
        endpoint => endpoint.Handle<RefundPayment>((_, _, _) => Task.FromResult(Reply.Reject("too-late"))),
        endpoint => endpoint.Handle<RefundPayment>(async (_, _, _) => Reply.Reject("too-late")),
        endpoint => endpoint.Handle<RefundPayment>(_ => RefuseAsync().AsTask()),
        endpoint => endpoint.Handle<RefundPayment>(async _ => Reply.Reject("too-late")),
        endpoint => endpoint.Handle<RefundPayment>(async _ => await RefuseAsync()),
        endpoint => endpoint.Handle<RefundPayment>(_ => Task.FromResult(Reply.Reject("too-late"))),
        endpoint => endpoint.Handle<RefundPayment>(_ => RefuseAsync()),
        endpoint => endpoint.Handle<RefundPayment>(_ => Reply.Reject("too-late")),
    ];

    public static TheoryData<int> LambdasThatRefuse => [.. Enumerable.Range(0, s_lambdasThatRefuse.Length)];

    [Theory]
    [MemberData(nameof(LambdasThatRefuse))]
    public async Task A_lambda_that_refuses_a_command_is_heard_however_it_is_written(int lambda)
    {
        using IHost host = await StartAsync(s_lambdasThatRefuse[lambda]);
        await host.Bus().SendAsync(new RefundPayment(Guid.Empty), Asking("r-1"));
        await host.WaitUntilQuietAsync();

        ConsumerRecord reply = Assert.Single(await host.ReadAllAsync("inbox"));
        Assert.Equal(("rejected", "too-late"), (reply.Header("millrace-status"), reply.Header("millrace-reason")));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_lambda_that_only_throws_has_one_meaning()
    {
        using IHost host = await StartAsync(endpoint =>
        {
            endpoint.Failures.OnAnyException().DeadLetter();
            endpoint.Handle<Heartbeat>(_ => throw new InvalidOperationException("One."));
            endpoint.Handle<RefundPayment>(async _ => throw new InvalidOperationException("Two."));
        });
        await host.Bus().PublishAsync(new Heartbeat(1));
        await host.Bus().SendAsync(new RefundPayment(Guid.Empty));
        await host.WaitUntilQuietAsync();
        Assert.Equal(2, (await host.ReadAllAsync("payment.dead-letters")).Count);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_lambda_that_refuses_an_event_has_failed_to_handle_it()
    {
        using IHost host = await StartAsync(endpoint =>
        {
            endpoint.Failures.OnAnyException().DeadLetter();
            endpoint.Handle<Heartbeat>((_, _, _) => Task.FromResult<Reply>(Reply.Reject("too-late")));
        });
        await host.Bus().PublishAsync(new Heartbeat(1));
        await host.WaitUntilQuietAsync();
        ConsumerRecord letter = Assert.Single(await host.ReadAllAsync("payment.dead-letters"));
        Assert.Contains("events have no reply", letter.Header("millrace-error-message"), StringComparison.Ordinal);
        await host.StopAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_lambda_of_the_message_alone_is_awaited(bool isValueTask)
    {
        Seen<int> handled = new();
        TaskCompletionSource gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IHost host = await StartAsync(endpoint =>
        {
            if (isValueTask) endpoint.Handle<Heartbeat>(message => new ValueTask(HandleAsync(message)));
            else endpoint.Handle<Heartbeat>(async message => await HandleAsync(message));
        });
        await host.Bus().PublishAsync(new Heartbeat(1));
        Task<MessagingState> quiet = host.WaitUntilQuietAsync();
        await host.Bus().PublishAsync(new OrderShipped("1"));
        Assert.Empty(handled.Items);
        Assert.False(quiet.IsCompleted);

        gate.SetResult();
        await quiet;
        Assert.Equal([1], handled.Items);
        await host.StopAsync();

        async Task HandleAsync(Heartbeat message)
        {
            await gate.Task;
            handled.Add(message.Number);
        }
    }

    [Fact]
    public async Task A_command_that_becomes_a_dead_letter_is_answered_as_failed_then_and_not_before()
    {
        using IHost host = await StartAsync((_, _, _) => throw new TimeoutException("No answer."));
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), Asking("c-1"));
        Assert.Equal(1, (await host.WaitUntilQuietAsync()).DelayedCount);
        Assert.Empty(await host.ReadAllAsync("inbox"));

        _time.Advance(TimeSpan.FromMinutes(1));
        await host.WaitUntilQuietAsync();
        ConsumerRecord reply = Assert.Single(await host.ReadAllAsync("inbox"));
        Assert.Equal(("failed", "System.TimeoutException: No answer."), (reply.Header("millrace-status"), reply.Header("millrace-reason")));
        Assert.Single(await host.ReadAllAsync("payment.dead-letters"));
        await host.StopAsync();
    }

    [Fact]
    public async Task A_command_that_comes_twice_is_answered_twice_with_one_id()
    {
        using IHost host = await StartAsync((_, _, _) => Task.FromResult<Reply<PaymentReceipt>>(new PaymentReceipt("1")));
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), Asking("c-1"));
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), Asking("c-1"));
        await host.WaitUntilQuietAsync();
        Assert.Equal(["c-1/reply", "c-1/reply"], (await host.ReadAllAsync("inbox")).Select(reply => reply.Header("ce_id")));
        await host.StopAsync();
    }

    [Fact]
    public async Task Events_and_commands_that_do_not_ask_get_no_reply()
    {
        using IHost host = await StartAsync((_, _, _) => Task.FromResult<Reply<PaymentReceipt>>(new PaymentReceipt("1")));
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10));
        await host.Bus().PublishAsync(new OrderShipped("1"), Asking("e-1"));
        await host.WaitUntilQuietAsync();
        Assert.Empty(await host.ReadAllAsync("inbox"));
        await host.StopAsync();
    }

    [Theory]
    [InlineData("__consumer_offsets")]
    [InlineData("../etc")]
    public async Task A_reply_never_goes_where_no_reply_belongs_and_the_command_is_done_all_the_same(string topic)
    {
        using IHost host = await StartAsync((_, _, _) => Task.FromResult<Reply<PaymentReceipt>>(new PaymentReceipt("1")));
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), new MessageOptions { Headers = [new("millrace-reply-to", topic)] });
        Assert.Equal(0, (await host.WaitUntilQuietAsync()).DelayedCount);
        Assert.Contains(_application.Logs, line => line.Contains($"a reply on '{topic}', which is no topic for replies", StringComparison.Ordinal));
        await host.StopAsync();
    }

    [Fact]
    public async Task At_most_once_a_lost_command_is_answered_as_failed()
    {
        using IHost host = await StartAsync((_, _, _) => throw new TimeoutException("No answer."), DeliveryMode.AtMostOnce);
        await host.Bus().SendAsync(new ChargePayment(Guid.Empty, 10), Asking("c-1"));
        await host.WaitUntilQuietAsync();
        Assert.Equal("failed", Assert.Single(await host.ReadAllAsync("inbox")).Header("millrace-status"));
        await host.StopAsync();
    }

    private static ValueTask<Reply> RefuseAsync() => new(Reply.Reject("too-late"));

    private Task<IHost> StartAsync(
        Func<ChargePayment, MessageContext, CancellationToken, Task<Reply<PaymentReceipt>>> handler, DeliveryMode delivery = DeliveryMode.AtLeastOnce) =>
        StartAsync(endpoint =>
        {
            endpoint.Delivery = delivery;
            if (delivery == DeliveryMode.AtLeastOnce)
                endpoint.Failures.On<TimeoutException>().Retry(1, Backoff.Constant(TimeSpan.FromMinutes(1), jitter: 0)).ThenDeadLetter();
            endpoint.Handle<ChargePayment, PaymentReceipt>(handler);
        });

    private async Task<IHost> StartAsync(Action<EndpointBuilder> payment)
    {
        IHost host = await _application.StartListeningAsync(
            millrace =>
            {
                millrace.AddEndpoint("payment", payment);
                millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderShipped>(_ => { }));
            },
            _time);
        await using KafkaClient client = host.Client();
        await client.Admin.CreateTopicsAsync([new NewTopic("inbox", 4)]);
        return host;
    }

    private static MessageOptions Asking(string id) =>
        new() { MessageId = id, Headers = [new(ReplyHeaders.ReplyTo, "inbox"), new(ReplyHeaders.ReplyKey, "saga/1")] };
}
