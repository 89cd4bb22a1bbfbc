using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Millrace;

namespace Shop;

/// <summary>Puts the shop together: five services that know each other's messages and nothing else, and the saga.</summary>
internal static class ShopServices
{
    // SQLite has one writer at a time: a few handlers keep it busy while others wait for the log.
    private const int ServiceConcurrency = 4;

    // One process reads everything, and each partition is a file that is synced by itself.
    private const int PartitionCount = 2;

    public static MillraceBuilder AddShop(this MillraceBuilder millrace, ShopOptions options) => millrace
        .AddOrderDesk(options)
        .AddService<OrderDatabase, OrderHandlers>(options, "order")
        .AddService<PaymentDatabase, PaymentHandlers>(options, "payment")
        .AddService<InventoryDatabase, InventoryHandlers>(options, "inventory", InventoryDatabase.Seed)
        .AddService<ShippingDatabase, ShippingHandlers>(options, "shipping")
        .AddService<NotificationDatabase, NotificationHandlers>(options, "notification");

    public static MillraceBuilder AddOrderDesk(this MillraceBuilder millrace, ShopOptions options)
    {
        millrace.Services.AddSingleton(options);
        millrace.Services.AddSingleton<Trouble>();
        millrace.Services.AddSingleton<Outbox>();
        millrace.Services.AddSingleton<OrderDesk>();
        millrace.Services.TryAddSingleton(services => new MessageIdSource(services.GetRequiredService<TimeProvider>()));
        return millrace
            .Configure(messaging => messaging.TopicPartitionCount = PartitionCount)
            .AddSaga<PlaceOrderSaga>(saga => saga.PartitionCount = PartitionCount);
    }

    public static MillraceBuilder AddService<TDatabase, THandlers>(
        this MillraceBuilder millrace, ShopOptions options, string name, Action<TDatabase>? seed = null)
        where TDatabase : DbContext
        where THandlers : class => millrace
        .AddDatabase(options, name, seed)
        .AddEndpoint(name, endpoint =>
        {
            endpoint.AddHandlers<THandlers>();
            endpoint.MaxConcurrency = ServiceConcurrency;
            endpoint.Failures.On<TimeoutException>()
                .Retry(10, Backoff.Exponential(TimeSpan.FromMilliseconds(20), maximum: TimeSpan.FromMilliseconds(500)))
                .ThenDeadLetter();
            // A disk that is full for a while must not cost an order.
            endpoint.Failures.OnAnyException()
                .Retry(100, Backoff.Exponential(TimeSpan.FromMilliseconds(50), maximum: TimeSpan.FromSeconds(5)))
                .ThenDeadLetter();
        });
}
