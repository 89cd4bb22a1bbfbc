using Microsoft.EntityFrameworkCore;

namespace Shop.Tests;

/// <summary>The audit sees what it is there to see: books that agree, each spoilt in one place.</summary>
public sealed class AuditTests
{
    public static TheoryData<string, string, string> Damage => new()
    {
        { "payment", "INSERT INTO Ledger (OrderId, AmountCents, At) SELECT OrderId, AmountCents, At FROM Ledger WHERE OrderId = 'good'", "stuck=0 duplicate_charges=1 money_ok=false stock_ok=true" },
        { "payment", "UPDATE Ledger SET AmountCents = AmountCents - 1 WHERE OrderId = 'good'", "stuck=0 duplicate_charges=0 money_ok=false stock_ok=true" },
        { "payment", "DELETE FROM Ledger WHERE AmountCents < 0", "stuck=0 duplicate_charges=0 money_ok=false stock_ok=true" },
        { "payment", "DELETE FROM Ledger WHERE OrderId = 'good'", "stuck=0 duplicate_charges=0 money_ok=false stock_ok=false" },
        { "inventory", "DELETE FROM Movements WHERE Quantity > 0", "stuck=0 duplicate_charges=0 money_ok=true stock_ok=false" },
        { "inventory", "UPDATE Stock SET OnShelf = OnShelf + 1 WHERE Item = 'teapot'", "stuck=0 duplicate_charges=0 money_ok=true stock_ok=false" },
        { "shipping", "UPDATE Shipments SET Quantity = 3", "stuck=0 duplicate_charges=0 money_ok=true stock_ok=false" },
        { "shipping", "INSERT INTO Shipments (OrderId, Item, Quantity, Destination, At) SELECT 'undone', Item, Quantity, Destination, At FROM Shipments", "stuck=0 duplicate_charges=0 money_ok=true stock_ok=false" },
        { "order", "UPDATE Orders SET Status = 'Created' WHERE Id = 'undone'", "stuck=1 duplicate_charges=0 money_ok=true stock_ok=true" },
        { "order", "DELETE FROM Orders WHERE Id = 'undone'", "stuck=1 duplicate_charges=0 money_ok=true stock_ok=true" },
    };

    [Theory]
    [MemberData(nameof(Damage))]
    public async Task Books_that_are_spoilt_in_one_place_do_not_pass(string service, string damage, string expected)
    {
        await using TestShop shop = await TestShop.StartAsync();
        await shop.PlaceAsync(TestShop.Order("good"), TestShop.Order("undone", destination: Catalogue.UnreachableDestination));
        Audit sound = await shop.AuditAsync();
        Assert.Equal("orders=2 completed=1 compensated=1 stuck=0 duplicate_charges=0 money_ok=true stock_ok=true", sound.ToString());

        await using (ShopDatabases databases = shop.OpenDatabases())
        {
            DbContext database = service switch
            {
                "order" => databases.Orders,
                "payment" => databases.Payments,
                "inventory" => databases.Inventory,
                _ => databases.Shipping,
            };
            Assert.True(await database.Database.ExecuteSqlRawAsync(damage) > 0);
        }

        Audit spoilt = await shop.AuditAsync();
        Assert.EndsWith(expected, spoilt.ToString(), StringComparison.Ordinal);
        Assert.False(spoilt.Holds);
        Assert.NotEmpty(spoilt.Problems());
    }
}
