using Millrace;

namespace Shop;

/// <summary>Takes the goods off the shelf. Rejected with <c>out-of-stock</c>.</summary>
[Command("inventory.reserve")]
public sealed record ReserveStock([property: MessageKey] string OrderId, string Item, int Quantity);

/// <summary>Undoes <see cref="ReserveStock"/>: puts back whatever was taken for the order.</summary>
[Command("inventory.release")]
public sealed record ReleaseStock([property: MessageKey] string OrderId);
