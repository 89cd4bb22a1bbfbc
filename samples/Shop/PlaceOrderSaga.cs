using Millrace;

namespace Shop;

/// <summary>
/// An order from its first step to its last. What fails before the goods leave is undone in reverse order; once they have left, there
/// is no way back.
/// </summary>
[Saga("place-order", Version = 1)]
internal sealed class PlaceOrderSaga : Saga<PlaceOrder, PlacedOrder>
{
    protected override async Task<PlacedOrder> RunAsync(PlaceOrder input, SagaContext saga)
    {
        (string id, OrderDetails details) = (input.OrderId, input.Details);

        await saga.StepAsync("order", new CreateOrder(id, details), undo: new CancelOrder(id, details));
        await saga.StepAsync("inventory", new ReserveStock(id, details.Item, details.Quantity), undo: new ReleaseStock(id));
        PaymentReceipt receipt = await saga.StepAsync(
            "payment", new ChargePayment(id, details.Customer, details.TotalCents), undo: new RefundPayment(id));
        ShipmentLabel label = await saga.PivotAsync("shipping", new ShipOrder(id, details));

        return new PlacedOrder(receipt.ReceiptId, label.TrackingNumber);
    }
}
