using Microsoft.Extensions.DependencyInjection;

namespace Millrace.Messaging.Tests;

public sealed class TopologyTests
{
    [Fact]
    public void A_command_with_two_handlers_is_refused_naming_both_endpoints()
    {
        string problem = Problem(millrace =>
        {
            millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(_ => { }));
            millrace.AddEndpoint("billing", endpoint => endpoint.Handle<RefundPayment>(_ => { }));
        });

        Assert.Contains("payment.refund.v1", problem, StringComparison.Ordinal);
        Assert.Contains("'payment' and 'billing'", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_lambda_without_a_value_is_refused_for_a_command_that_asks_for_one()
    {
        string problem = Problem(millrace => millrace.AddEndpoint("payment", endpoint => endpoint.Handle<ChargePayment>(_ => { })));

        Assert.Contains("A lambda at the endpoint 'payment' gives no value, but ChargePayment asks for a PaymentReceipt.", problem, StringComparison.Ordinal);
        Assert.Contains("endpoint.Handle<ChargePayment, PaymentReceipt>(...)", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void An_event_may_have_many_endpoints()
    {
        Topology topology = Build(millrace =>
        {
            millrace.AddEndpoint("fraud", endpoint => endpoint.Handle<OrderCreated>(_ => { }));
            millrace.AddEndpoint("mail", endpoint => endpoint.Handle<OrderCreated>(_ => { }).Handle<OrderShipped>(_ => { }));
        });

        Assert.Equal(["shop.events"], topology.Topics);
        Assert.Equal(["fraud", "mail"], topology.Endpoints.Select(endpoint => endpoint.Name));
    }

    [Fact]
    public void Every_problem_is_reported_at_once()
    {
        string problem = Problem(millrace =>
        {
            millrace.AddEndpoint("empty", _ => { });
            millrace.AddEndpoint("bad name", endpoint => endpoint.Handle<OrderCreated>(_ => { }));
            millrace.AddEndpoint("twice", endpoint => endpoint.Handle<OrderCreated>(_ => { }));
            millrace.AddEndpoint("twice", endpoint => endpoint.Handle<OrderShipped>(_ => { }).Handle<OrderShipped>(_ => { }));
            millrace.AddEndpoint("narrow", endpoint => endpoint.Handle<OrderCreated>(_ => { }).MaxConcurrency = 0);
            millrace.AddEndpoint("nothing", endpoint => endpoint.Handle<string>(_ => { }));
            millrace.HandledElsewhere<OrderCreated>();
            millrace.HandledElsewhere<RefundPayment>();
            millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(_ => { }));
        });

        Assert.Contains("'empty' has no handler", problem, StringComparison.Ordinal);
        Assert.Contains("'bad name' is not valid", problem, StringComparison.Ordinal);
        Assert.Contains("Two endpoints are named 'twice'", problem, StringComparison.Ordinal);
        Assert.Contains("'twice' handles shop.order-shipped.v1 twice", problem, StringComparison.Ordinal);
        Assert.Contains("MaxConcurrency of the endpoint 'narrow' is 0", problem, StringComparison.Ordinal);
        Assert.Contains("System.String is not a message", problem, StringComparison.Ordinal);
        Assert.Contains("HandledElsewhere<OrderCreated>() is for commands", problem, StringComparison.Ordinal);
        Assert.Contains("payment.refund.v1 (Millrace.Messaging.Tests.RefundPayment) is declared as handled elsewhere", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void What_an_endpoint_does_with_a_message_is_one_table()
    {
        Topology topology = Build(millrace =>
        {
            millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(_ => { }).Handle<OrderCreated>(_ => { }));
            millrace.AddEndpoint("audit", endpoint => endpoint.Handle<OrderShipped>(_ => { }));
            millrace.HandledElsewhere<ChargePayment>();
        });
        EndpointDefinition payment = topology.Endpoints[0];

        Assert.IsType<Routing.Handle>(payment.Route("payment.refund.v1", "payment.commands", topology));
        Assert.IsType<Routing.Handle>(payment.Route("shop.order-created.v1", "shop.events", topology));

        // Somebody else's events.
        Assert.Same(Routing.SkipUnhandled, payment.Route("shop.order-shipped.v1", "shop.events", topology));
        Assert.Same(Routing.SkipUnhandled, payment.Route("shop.unheard-of.v1", "shop.events", topology));
        Assert.Same(Routing.SkipUntyped, payment.Route(null, "shop.events", topology));

        // A command that is known to be handled elsewhere.
        Assert.Same(Routing.SkipUnhandled, payment.Route("payment.charge.v1", "payment.commands", topology));

        // What would be lost silently.
        AssertUnreadable("nobody here handles payment.cancel.v1", payment.Route("payment.cancel.v1", "payment.commands", topology));
        AssertUnreadable("no ce_type header", payment.Route(null, "payment.commands", topology));
        AssertUnreadable("version 2 of shop.order-created, and the endpoint handles version 1", payment.Route("shop.order-created.v2", "shop.events", topology));
    }

    [Fact]
    public void A_command_is_handled_here_or_declared_as_handled_elsewhere()
    {
        Topology topology = Build(millrace =>
        {
            millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(_ => { }));
            millrace.HandledElsewhere<ChargePayment>();
        });

        Assert.True(topology.IsHandled(MessageDefinition.Of(typeof(RefundPayment))));
        Assert.True(topology.IsHandled(MessageDefinition.Of(typeof(ChargePayment))));
        Assert.False(topology.IsHandled(MessageDefinition.Of(typeof(CancelPayment))));
    }

    private static void AssertUnreadable(string problem, Routing routing) =>
        Assert.Contains(problem, Assert.IsType<Routing.Unreadable>(routing).Problem, StringComparison.Ordinal);

    private static string Problem(Action<MillraceBuilder> configure) =>
        Assert.Throws<MillraceConfigurationException>(() => Build(configure)).Message;

    private static Topology Build(Action<MillraceBuilder> configure)
    {
        MillraceBuilder builder = MillraceBuilder.AddTo(new ServiceCollection());
        configure(builder);
        return Topology.Build(new MessageRegistry(), builder.Endpoints, builder.CommandsHandledElsewhere, []);
    }

    [Command("payment.cancel")]
    private sealed record CancelPayment;
}
