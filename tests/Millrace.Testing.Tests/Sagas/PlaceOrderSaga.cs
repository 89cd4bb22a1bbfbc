namespace Millrace.Testing.Tests;

public sealed record PlaceOrder(string OrderId, int Quantity, int Price);

[Command("stock.reserve")]
public sealed record ReserveStock([property: MessageKey] string OrderId, int Quantity);

[Command("stock.release")]
public sealed record ReleaseStock([property: MessageKey] string OrderId, int Quantity);

public sealed record PaymentReceipt(string Number);

[Command("payment.charge")]
public sealed record ChargePayment([property: MessageKey] string OrderId, int Amount) : ICommand<PaymentReceipt>;

[Event("payment.charged")]
public sealed record PaymentCharged([property: MessageKey] string OrderId, int Amount);

[Command("payment.refund")]
public sealed record RefundPayment([property: MessageKey] string OrderId, int Amount);

[Command("shipping.ship")]
public sealed record ShipOrder([property: MessageKey] string OrderId);

[Saga("place-order")]
public sealed class PlaceOrderSaga : Saga<PlaceOrder, string>
{
    protected override async Task<string> RunAsync(PlaceOrder input, SagaContext saga)
    {
        await saga.StepAsync("stock", new ReserveStock(input.OrderId, input.Quantity), undo: new ReleaseStock(input.OrderId, input.Quantity));
        PaymentReceipt receipt = await saga.StepAsync("payment", new ChargePayment(input.OrderId, input.Price), undo: new RefundPayment(input.OrderId, input.Price));
        await saga.PivotAsync("shipping", new ShipOrder(input.OrderId));
        return receipt.Number;
    }
}
