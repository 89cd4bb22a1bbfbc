using Millrace;

namespace Shop;

/// <summary>What is ordered, by whom, and for how much.</summary>
/// <param name="Customer">An e-mail address.</param>
/// <param name="Item">An item of the catalogue.</param>
/// <param name="Quantity">From 1.</param>
/// <param name="TotalCents">The price of everything, in cents.</param>
/// <param name="Destination">Where it goes.</param>
public sealed record OrderDetails(string Customer, string Item, int Quantity, long TotalCents, string Destination);

/// <summary>What the saga starts with.</summary>
public sealed record PlaceOrder(string OrderId, OrderDetails Details);

/// <summary>What a completed saga leaves behind.</summary>
public sealed record PlacedOrder(string ReceiptId, string TrackingNumber);

[Command("order.create")]
public sealed record CreateOrder([property: MessageKey] string OrderId, OrderDetails Details);

/// <summary>Undoes <see cref="CreateOrder"/>.</summary>
[Command("order.cancel")]
public sealed record CancelOrder([property: MessageKey] string OrderId, OrderDetails Details);

[Event("order.created")]
public sealed record OrderCreated([property: MessageKey] string OrderId, OrderDetails Details);

[Event("order.cancelled")]
public sealed record OrderCancelled([property: MessageKey] string OrderId, string Customer);
