using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using Millrace;

namespace Shop;

/// <summary>
/// The body of <c>POST /orders</c>. The order id makes the request one that may be sent again; one is made up where it is absent.
/// </summary>
internal sealed record OrderRequest(string? OrderId, string? Customer, string? Item, int? Quantity, string? Destination);

/// <summary>The body of <c>GET /orders/{id}</c>.</summary>
internal sealed record OrderResponse(
    string OrderId, string Status, string? Reason, string Customer, string Item, int Quantity, string Total, string Destination, string? TrackingNumber);

/// <summary>What the Order service says over HTTP.</summary>
internal static class OrderApi
{
    private const int MaxIdLength = 64;
    private const int MaxCustomerLength = 200;

    public static void MapOrders(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/", () => Results.Text("The Millrace Shop: POST /orders, GET /orders/{id}.\n"));
        routes.MapPost("/orders", PlaceAsync);
        routes.MapGet("/orders/{id}", FindAsync);
    }

    private static async Task<IResult> PlaceAsync(HttpRequest http, OrderDesk desk, MessageIdSource ids, CancellationToken cancellationToken)
    {
        if (await ReadAsync(http, cancellationToken) is not { } request)
        {
            return Results.Problem(
                "The body is not an order in JSON. Send for example {\"customer\":\"you@example.com\",\"item\":\"teapot\",\"quantity\":2}, with Content-Type: application/json.",
                statusCode: StatusCodes.Status400BadRequest);
        }

        string id = request.OrderId ?? ids.Next().ToString("D");
        CatalogueItem? item = Catalogue.Find(request.Item ?? "");
        int quantity = request.Quantity ?? 1;
        string? problem =
            !IsId(id) ? $"orderId is '{id}'. Use 1 to {MaxIdLength} letters, digits and hyphens."
            : item is null ? $"item is '{request.Item}'. The shop sells {string.Join(", ", Catalogue.Items.Select(known => known.Name))}."
            : quantity is < 1 or > Catalogue.MaxQuantity ? $"quantity is {quantity}. It goes from 1 to {Catalogue.MaxQuantity}."
            : !IsCustomer(request.Customer) ? $"customer is '{request.Customer}'. Give an e-mail address of at most {MaxCustomerLength} characters."
            : request.Destination is { Length: 0 or > MaxCustomerLength } ? $"destination has {request.Destination.Length} characters. Give 1 to {MaxCustomerLength}, or leave it out."
            : null;
        if (problem is not null)
        {
            return Results.Problem(problem, statusCode: StatusCodes.Status400BadRequest);
        }

        OrderDetails details = new(
            request.Customer!, item!.Name, quantity, quantity * item.PriceCents, request.Destination ?? Catalogue.Destinations[0]);
        IReadOnlyList<string> others = await desk.AcceptAsync([new PlaceOrder(id, details)], cancellationToken);
        return others.Count > 0
            ? Results.Problem($"Another order has the id '{id}' already, and stays as it is. Choose another orderId, or leave it out.", statusCode: StatusCodes.Status409Conflict)
            : Results.Accepted($"/orders/{id}", new { orderId = id });
    }

    /// <summary>The body, or null where it is none.</summary>
    private static async Task<OrderRequest?> ReadAsync(HttpRequest http, CancellationToken cancellationToken)
    {
        try
        {
            return http.HasJsonContentType() ? await http.ReadFromJsonAsync<OrderRequest>(cancellationToken) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static async Task<IResult> FindAsync(string id, OrderDatabase database, ISagaClient sagas, CancellationToken cancellationToken)
    {
        Order? order = await database.Orders.AsNoTracking().SingleOrDefaultAsync(row => row.Id == id, cancellationToken);
        if (order is not null)
        {
            string status = order.Status.ToString().ToLowerInvariant();
            string? reason = order.Status == OrderStatus.Completed ? null : sagas.Find<PlaceOrderSaga>(id)?.Reason;
            string total = string.Create(CultureInfo.InvariantCulture, $"{order.TotalCents / 100m:F2}");
            return Results.Ok(new OrderResponse(
                order.Id, status, reason, order.Customer, order.Item, order.Quantity, total, order.Destination, order.TrackingNumber));
        }

        return await database.AcceptedOrders.AnyAsync(row => row.Id == id, cancellationToken)
            ? Results.Ok(new { orderId = id, status = "accepted" })
            : Results.Problem($"There is no order '{id}'.", statusCode: StatusCodes.Status404NotFound);
    }

    private static bool IsId(string id) =>
        id.Length is >= 1 and <= MaxIdLength && id.All(character => char.IsAsciiLetterOrDigit(character) || character == '-');

    // It becomes a line of a mail's head: nothing that ends a line may be in it.
    private static bool IsCustomer(string? customer) =>
        customer is { Length: >= 3 and <= MaxCustomerLength } && customer.IndexOf('@') > 0 && !customer.Any(char.IsControl);
}
