using Millrace;

namespace Shop;

/// <summary>Charges the customer's card. Rejected with <c>card-declined</c>.</summary>
[Command("payment.charge")]
public sealed record ChargePayment([property: MessageKey] string OrderId, string Customer, long AmountCents) : ICommand<PaymentReceipt>;

public sealed record PaymentReceipt(string ReceiptId);

/// <summary>Undoes <see cref="ChargePayment"/>: gives back whatever was charged for the order.</summary>
[Command("payment.refund")]
public sealed record RefundPayment([property: MessageKey] string OrderId);
