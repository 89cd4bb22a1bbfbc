using Millrace;

namespace Shop;

/// <summary>Hands the goods to a carrier; nothing takes them back. Rejected with <c>no-carrier</c>.</summary>
[Command("shipping.ship")]
public sealed record ShipOrder([property: MessageKey] string OrderId, OrderDetails Details) : ICommand<ShipmentLabel>;

public sealed record ShipmentLabel(string TrackingNumber);

[Event("shipping.order-shipped")]
public sealed record OrderShipped([property: MessageKey] string OrderId, string Customer, string TrackingNumber);
