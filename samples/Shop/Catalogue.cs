namespace Shop;

/// <summary>What the shop sells.</summary>
/// <param name="Name">The item's name.</param>
/// <param name="PriceCents">The price of one.</param>
/// <param name="InitialQuantity">How many are on the shelf when the shop opens.</param>
internal sealed record CatalogueItem(string Name, long PriceCents, int InitialQuantity);

internal static class Catalogue
{
    /// <summary>The carriers do not go there: an order that is paid and cannot be shipped.</summary>
    public const string UnreachableDestination = "Atlantis";

    public const int MaxQuantity = 10;

    private const int PlentyOfStock = 100_000_000;

    /// <summary>What generated orders are made of.</summary>
    public static IReadOnlyList<CatalogueItem> Staples { get; } =
    [
        new("kettle", 3490, PlentyOfStock),
        new("teapot", 2150, PlentyOfStock),
        new("cup", 895, PlentyOfStock),
        new("tray", 1775, PlentyOfStock),
        new("sugar-bowl", 1239, PlentyOfStock),
    ];

    public static IReadOnlyList<CatalogueItem> Items { get; } = [.. Staples, new("golden-teapot", 199_900, InitialQuantity: 0)];

    public static IReadOnlyList<string> Destinations { get; } = ["Oslo", "Porto", "Kyoto", "Quito", "Accra"];

    public static CatalogueItem? Find(string name) =>
        Items.FirstOrDefault(item => string.Equals(item.Name, name, StringComparison.Ordinal));
}
