namespace Shop;

/// <summary>Which services a process runs, where the shop's log is a cluster and its services are several processes.</summary>
internal enum ShopRole
{
    /// <summary>All of them, as with the log in the process.</summary>
    All,

    /// <summary>The Order service, the saga, the desk that takes orders, and the Notification service.</summary>
    Orders,

    /// <summary>The Payment service.</summary>
    Payment,

    /// <summary>The Inventory and the Shipping service.</summary>
    Stock,
}

internal static class ShopRoles
{
    public static bool Runs(this ShopRole role, ShopRole part) => role == ShopRole.All || role == part;

    /// <summary>Whether the process takes orders and says what became of them; the other roles serve until they are stopped.</summary>
    public static bool HasDesk(this ShopRole role) => role.Runs(ShopRole.Orders);

    /// <summary>The roles, apart from that of the desk, that run these services.</summary>
    public static IEnumerable<ShopRole> Of(IEnumerable<string> services) =>
        services.Select(service => service is "payment" ? ShopRole.Payment : service is "inventory" or "shipping" ? ShopRole.Stock : ShopRole.Orders)
            .Where(role => !role.HasDesk()).Distinct();

    public static string Describe(this ShopRole role) => role switch
    {
        ShopRole.Orders => "the Order and Notification services and the saga",
        ShopRole.Payment => "the Payment service",
        ShopRole.Stock => "the Inventory and Shipping services",
        _ => "five services and one saga",
    };
}
