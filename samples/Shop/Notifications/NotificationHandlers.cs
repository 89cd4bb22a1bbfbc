using System.Globalization;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>The Notification service. It only listens, and writes to customers.</summary>
internal sealed class NotificationHandlers(NotificationDatabase database, Outbox outbox, Trouble trouble, TimeProvider time)
{
    public Task HandleAsync(OrderCreated created, MessageContext context, CancellationToken cancellationToken) =>
        SendAsync(
            created.OrderId, created.Details.Customer, "created",
            string.Create(CultureInfo.InvariantCulture, $"We have your order of {created.Details.Quantity} x {created.Details.Item} for {created.Details.TotalCents / 100m:F2}."),
            context, cancellationToken);

    public Task HandleAsync(OrderCancelled cancelled, MessageContext context, CancellationToken cancellationToken) =>
        SendAsync(cancelled.OrderId, cancelled.Customer, "cancelled", "We could not deliver your order. You have not paid anything.", context, cancellationToken);

    public Task HandleAsync(OrderShipped shipped, MessageContext context, CancellationToken cancellationToken) =>
        SendAsync(shipped.OrderId, shipped.Customer, "shipped", $"Your order is on its way: {shipped.TrackingNumber}.", context, cancellationToken);

    private async Task SendAsync(
        string orderId, string customer, string occasion, string text, MessageContext context, CancellationToken cancellationToken)
    {
        await context.OnceAsync(database, async token =>
        {
            // A file is not part of the transaction, so it may be written again; its name follows from the message, so it stays one file.
            string fileName = await outbox.WriteAsync(context.MessageId, orderId, customer, occasion, text, token);
            database.Mails.Add(new SentMail { OrderId = orderId, FileName = fileName, At = time.GetUtcNow() });
            trouble.BeforeCommit(context);
        }, cancellationToken);
        trouble.AfterCommit(context);
    }
}
