using System.Globalization;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>The Shipping service. What it has handed to a carrier does not come back.</summary>
internal sealed class ShippingHandlers(ShippingDatabase database, Trouble trouble, TimeProvider time)
{
    public async Task<Reply<ShipmentLabel>> HandleAsync(ShipOrder command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply<ShipmentLabel> reply = await context.OnceAsync<ShipmentLabel>(database, async token =>
        {
            OrderDetails details = command.Details;
            if (string.Equals(details.Destination, Catalogue.UnreachableDestination, StringComparison.OrdinalIgnoreCase))
            {
                return Reply.Reject("no-carrier");
            }

            Shipment shipment = new()
            {
                OrderId = command.OrderId,
                Item = details.Item,
                Quantity = details.Quantity,
                Destination = details.Destination,
                At = time.GetUtcNow(),
            };
            database.Shipments.Add(shipment);
            await database.SaveChangesAsync(token);
            string trackingNumber = string.Create(CultureInfo.InvariantCulture, $"MR{shipment.Id:D8}");
            await context.PublishAsync(new OrderShipped(command.OrderId, details.Customer, trackingNumber), token);
            trouble.BeforeCommit(context);
            return new ShipmentLabel(trackingNumber);
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }
}
