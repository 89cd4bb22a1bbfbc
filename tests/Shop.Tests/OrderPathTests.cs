using Microsoft.Extensions.DependencyInjection;
using Millrace;

namespace Shop.Tests;

/// <summary>Every way that an order can go, inside one process.</summary>
public sealed class OrderPathTests
{
    [Fact]
    public async Task An_order_that_meets_no_trouble_is_reserved_paid_and_shipped()
    {
        await using TestShop shop = await TestShop.StartAsync();

        await shop.PlaceAsync(TestShop.Order("good"));

        (OrderStatus status, long[] ledger, int[] movements, int shipments) = await shop.FindAsync("good");
        Assert.Equal(OrderStatus.Completed, status);
        Assert.Equal([4300], ledger);
        Assert.Equal([-2], movements);
        Assert.Equal(1, shipments);
        Assert.Single(shop.Host.Published<OrderCreated>());
        Assert.Single(shop.Host.Published<OrderShipped>());
        Assert.Empty(shop.Host.Published<OrderCancelled>());
        await RequireGoodBooksAsync(shop, 1);
    }

    [Fact]
    public async Task An_order_whose_card_is_declined_gives_its_stock_back()
    {
        await using TestShop shop = await TestShop.StartAsync(options => options with { DeclineRate = 1 });

        await shop.PlaceAsync(TestShop.Order("declined"));

        (OrderStatus status, long[] ledger, int[] movements, int shipments) = await shop.FindAsync("declined");
        Assert.Equal(OrderStatus.Cancelled, status);
        Assert.Empty(ledger);
        Assert.Equal([-2, 2], movements);
        Assert.Equal(0, shipments);
        Assert.Single(shop.Host.Published<OrderCancelled>());
        Assert.Empty(shop.Host.Sent<RefundPayment>());
        Assert.Contains("card-declined", ReasonOf(shop, "declined"), StringComparison.Ordinal);
        await RequireGoodBooksAsync(shop, 1);
    }

    [Fact]
    public async Task An_order_for_goods_that_are_not_there_is_cancelled_and_never_charged()
    {
        await using TestShop shop = await TestShop.StartAsync();

        await shop.PlaceAsync(TestShop.Order("sold-out", item: "golden-teapot", quantity: 1));

        (OrderStatus status, long[] ledger, int[] movements, int shipments) = await shop.FindAsync("sold-out");
        Assert.Equal(OrderStatus.Cancelled, status);
        Assert.Empty(ledger);
        Assert.Empty(movements);
        Assert.Equal(0, shipments);
        Assert.Empty(shop.Host.Sent<ChargePayment>());
        Assert.Contains("out-of-stock", ReasonOf(shop, "sold-out"), StringComparison.Ordinal);
        await RequireGoodBooksAsync(shop, 1);
    }

    [Fact]
    public async Task An_order_that_no_carrier_takes_is_refunded_and_put_back()
    {
        await using TestShop shop = await TestShop.StartAsync();

        await shop.PlaceAsync(TestShop.Order("far-away", destination: Catalogue.UnreachableDestination));

        (OrderStatus status, long[] ledger, int[] movements, int shipments) = await shop.FindAsync("far-away");
        Assert.Equal(OrderStatus.Cancelled, status);
        Assert.Equal([4300, -4300], ledger);
        Assert.Equal([-2, 2], movements);
        Assert.Equal(0, shipments);
        Assert.Contains("no-carrier", ReasonOf(shop, "far-away"), StringComparison.Ordinal);
        await RequireGoodBooksAsync(shop, 1);
    }

    [Fact]
    public async Task A_payment_service_that_stays_down_makes_a_dead_letter_and_the_order_is_undone()
    {
        await using TestShop shop = await TestShop.StartAsync(compose: (millrace, options) => WithPayments<BrokenPaymentHandlers>(millrace, options));

        await shop.PlaceAsync(TestShop.Order("unlucky"));

        (OrderStatus status, long[] ledger, int[] movements, int shipments) = await shop.FindAsync("unlucky");
        Assert.Equal(OrderStatus.Cancelled, status);
        Assert.Empty(ledger);
        Assert.Equal([-2, 2], movements);
        Assert.Equal(0, shipments);
        Assert.Single(shop.Host.DeadLetters("payment"));
        // Nobody knows whether a command that failed took effect, so it is undone.
        Assert.Single(shop.Host.Sent<RefundPayment>());
        await RequireGoodBooksAsync(shop, 1);
    }

    [Fact]
    public async Task Services_that_fail_at_every_chance_delay_orders_and_double_nothing()
    {
        await using TestShop shop = await TestShop.StartAsync(options => options with { FlakyRate = 1 });

        await shop.PlaceAsync([.. Enumerable.Range(1, 8).Select(number => TestShop.Order($"flaky-{number}"))]);

        Audit audit = await RequireGoodBooksAsync(shop, 8);
        Assert.Equal(8, audit.CompletedCount);
        await using ShopDatabases databases = shop.OpenDatabases();
        Tally tally = await databases.CountAsync(CancellationToken.None);
        Assert.Equal((8, 8, 16), (tally.FraudScores, tally.Demanded, tally.Mails));
        Assert.Equal(16, Directory.GetFiles(shop.Options.OutboxDirectory, "*.eml").Length);
    }

    /// <summary>The control: the same trouble, and a payment service that does not remember what it has answered.</summary>
    [Fact]
    public async Task A_payment_service_without_stored_replies_charges_twice_and_the_audit_says_so()
    {
        await using TestShop shop = await TestShop.StartAsync(
            options => options with { FlakyRate = 1 },
            (millrace, options) => WithPayments<ForgetfulPaymentHandlers>(millrace, options));

        await shop.PlaceAsync([.. Enumerable.Range(1, 8).Select(number => TestShop.Order($"flaky-{number}"))]);

        Audit audit = await shop.AuditAsync();
        Assert.Equal(8, audit.CompletedCount);
        Assert.InRange(audit.DuplicateChargeCount, 1, 8 * Trouble.MaxFailedAttempts);
        Assert.NotEmpty(audit.MoneyProblems);
        Assert.False(audit.Holds);
        Assert.Contains("money_ok=false", audit.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_order_that_loses_the_power_again_and_again_ends_once()
    {
        await using TestShop shop = await TestShop.StartAsync();
        long before = shop.Host.StorageOperationCount;
        await shop.PlaceAsync(TestShop.Order("calm", destination: Catalogue.UnreachableDestination));
        long operationCount = shop.Host.StorageOperationCount - before;

        // Places of the crash over the whole length of an order with all its undos.
        const int crashCount = 12;
        for (int crash = 0; crash < crashCount; crash++)
        {
            shop.Host.CrashAfter(operationCount * crash / crashCount);
            await shop.PlaceAsync(TestShop.Order($"dark-{crash}", destination: Catalogue.UnreachableDestination));
        }

        Assert.InRange(shop.Host.CrashCount, crashCount / 2, crashCount * 4);
        Audit audit = await RequireGoodBooksAsync(shop, 1 + crashCount);
        Assert.Equal(1 + crashCount, audit.CancelledCount);
    }

    internal static MillraceBuilder WithPayments<THandlers>(MillraceBuilder millrace, ShopOptions options)
        where THandlers : class => millrace
        .AddOrderDesk(options)
        .AddService<OrderDatabase, OrderHandlers>(options, "order")
        .AddService<PaymentDatabase, THandlers>(options, "payment")
        .AddService<InventoryDatabase, InventoryHandlers>(options, "inventory", InventoryDatabase.Seed)
        .AddService<ShippingDatabase, ShippingHandlers>(options, "shipping")
        .AddService<NotificationDatabase, NotificationHandlers>(options, "notification");

    private static string? ReasonOf(TestShop shop, string id)
    {
        SagaStatus? status = shop.Host.Services.GetRequiredService<ISagaClient>().Find<PlaceOrderSaga>(id);
        Assert.Equal(SagaState.Compensated, status?.State);
        return status?.Reason;
    }

    private static async Task<Audit> RequireGoodBooksAsync(TestShop shop, int orderCount)
    {
        Audit audit = await shop.AuditAsync();
        Assert.True(audit.Holds && audit.OrderCount == orderCount, $"{audit}\n{string.Join('\n', audit.Problems())}");
        return audit;
    }
}

/// <summary>Payment without the stored reply: whatever comes twice is done twice.</summary>
internal sealed class ForgetfulPaymentHandlers(PaymentDatabase database, Trouble trouble, TimeProvider time)
{
    public async Task<Reply<PaymentReceipt>> HandleAsync(ChargePayment command, MessageContext context, CancellationToken cancellationToken)
    {
        database.Ledger.Add(new LedgerEntry { OrderId = command.OrderId, AmountCents = command.AmountCents, At = time.GetUtcNow() });
        await database.SaveChangesAsync(cancellationToken);
        trouble.AfterCommit(context);
        return new PaymentReceipt("receipt");
    }

    public Task<Reply> HandleAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken) => Task.FromResult(Reply.Done);
}

/// <summary>Payment that is down for good, and whose refund finds nothing to give back.</summary>
internal sealed class BrokenPaymentHandlers(PaymentDatabase database, Trouble trouble, TimeProvider time)
{
    private readonly PaymentHandlers _working = new(database, trouble, time);

    public Task<Reply<PaymentReceipt>> HandleAsync(ChargePayment command) => throw new TimeoutException($"No payment of {command.OrderId} today.");

    public Task<Reply> HandleAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken) =>
        _working.HandleAsync(command, context, cancellationToken);
}
