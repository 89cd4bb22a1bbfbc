namespace Millrace.Messaging.Tests;

[Event("shop.order-created")]
public sealed record OrderCreated([property: MessageKey] Guid OrderId, decimal Total);

[Event("shop.order-created", Version = 2)]
public sealed record OrderCreated2([property: MessageKey] Guid OrderId, decimal Total, string Currency);

[Event("shop.order-shipped")]
public sealed record OrderShipped([MessageKey] string OrderId);

[Event("heartbeat")]
public sealed record Heartbeat(int Number);

[Event("shop.audit", Topic = "audit")]
public sealed record Audited([property: MessageKey] long Number);

[Command("payment.charge")]
public sealed record ChargePayment([property: MessageKey] Guid OrderId, decimal Amount) : ICommand<PaymentReceipt>;

[Command("payment.refund")]
public sealed record RefundPayment([property: MessageKey] Guid OrderId);

public sealed record PaymentReceipt(string Number);
