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

    // On a cluster: as many processes of one role can share its work.
    private const int ClusterPartitionCount = 6;

    // The shortest that brokers take by default: what a killed process worked on waits for so long.
    private static readonly TimeSpan s_clusterSession = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan s_clusterHeartbeat = TimeSpan.FromSeconds(1);

    /// <summary>Adds what the options' role runs.</summary>
    public static MillraceBuilder AddShop(this MillraceBuilder millrace, ShopOptions options)
    {
        millrace.AddSurroundings(options);
        if (options.Role.Runs(ShopRole.Orders))
        {
            millrace
                .AddOrderDesk(options)
                .AddService<OrderDatabase, OrderHandlers>(options, "order")
                .AddService<NotificationDatabase, NotificationHandlers>(options, "notification");
        }

        if (options.Role.Runs(ShopRole.Payment))
        {
            millrace.AddService<PaymentDatabase, PaymentHandlers>(options, "payment");
        }

        if (options.Role.Runs(ShopRole.Stock))
        {
            millrace
                .AddService<InventoryDatabase, InventoryHandlers>(options, "inventory", InventoryDatabase.Seed)
                .AddService<ShippingDatabase, ShippingHandlers>(options, "shipping");
        }

        return millrace;
    }

    /// <summary>Adds the desk that takes orders, and the saga that carries them out.</summary>
    public static MillraceBuilder AddOrderDesk(this MillraceBuilder millrace, ShopOptions options)
    {
        millrace.AddSurroundings(options).Services.TryAddSingleton<OrderDesk>();
        return millrace.AddSaga<PlaceOrderSaga>(saga => saga.PartitionCount = CountPartitions(options));
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

    /// <summary>What all services have around them.</summary>
    private static MillraceBuilder AddSurroundings(this MillraceBuilder millrace, ShopOptions options)
    {
        millrace.Services.TryAddSingleton(options);
        millrace.Services.TryAddSingleton<Trouble>();
        millrace.Services.TryAddSingleton<Outbox>();
        millrace.Services.TryAddSingleton(services => new MessageIdSource(services.GetRequiredService<TimeProvider>()));
        return millrace.Configure(messaging =>
        {
            messaging.TopicPartitionCount = CountPartitions(options);
            messaging.TopicPrefix = options.Prefix;
            if (options.Kafka is not null)
            {
                (messaging.SessionTimeout, messaging.HeartbeatInterval) = (s_clusterSession, s_clusterHeartbeat);
            }
        });
    }

    private static int CountPartitions(ShopOptions options) => options.Kafka is null ? PartitionCount : ClusterPartitionCount;
}
