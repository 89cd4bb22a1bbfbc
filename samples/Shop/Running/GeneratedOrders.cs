using System.Globalization;

namespace Shop;

/// <summary>The orders that the shop places by itself. Their ids follow from their number alone, so that no run places one twice.</summary>
internal static class GeneratedOrders
{
    private static readonly string[] s_customers = ["ada", "grace", "edsger", "barbara", "leslie", "radia", "tony", "margaret"];

    /// <summary>The order of a number, from 1; the seed decides what is ordered.</summary>
    public static PlaceOrder Make(int seed, int number)
    {
        string id = IdOf(number);
        CatalogueItem item = Catalogue.Staples[Chance.Pick(seed, $"item/{id}", Catalogue.Staples.Count)];
        int quantity = 1 + Chance.Pick(seed, $"quantity/{id}", 5);
        string customer = s_customers[Chance.Pick(seed, $"customer/{id}", s_customers.Length)];
        string destination = Catalogue.Destinations[Chance.Pick(seed, $"destination/{id}", Catalogue.Destinations.Count)];
        return new PlaceOrder(id, new OrderDetails($"{customer}@example.com", item.Name, quantity, quantity * item.PriceCents, destination));
    }

    /// <summary>All orders there could be but those that are known, in the order of their numbers.</summary>
    public static IEnumerable<PlaceOrder> Except(int seed, IReadOnlySet<string> known)
    {
        for (int number = 1; number < int.MaxValue; number++)
        {
            if (!known.Contains(IdOf(number)))
            {
                yield return Make(seed, number);
            }
        }
    }

    private static string IdOf(int number) => string.Create(CultureInfo.InvariantCulture, $"order-{number}");
}
