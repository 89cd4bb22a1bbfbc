using System.Globalization;
using System.Net.Http.Json;
using Millrace.Interop.Tests.Programs;

namespace Shop.Tests;

/// <summary>
/// The shop under load, killed with SIGKILL at moments that a seed chooses by how far the orders are, and started again. The long
/// run: <c>MILLRACE_SHOP_KILLS=20 dotnet run -c Release --project tests/Shop.Tests -- --filter-class Shop.Tests.KillTests</c>.
/// </summary>
public sealed class KillTests : IDisposable
{
    private const int OrdersPerKill = 120;
    private const int LatestKill = 60;
    private const int RequestsPerKill = 3;

    private static readonly string[] s_trouble = ["--decline", "0.1", "--out-of-stock", "0.1", "--flaky", "0.2"];

    private readonly ShopFolder _folder = new();

    private static int KillCount => Setting("MILLRACE_SHOP_KILLS", 5);

    private static int Seed => Setting("MILLRACE_SHOP_SEED", 1);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Killed_under_load_it_finishes_what_it_accepted_and_the_books_agree()
    {
        Random random = new(Seed);
        int orderCount = 0;
        for (int kill = 1; kill <= KillCount; kill++)
        {
            string moment = $"kill {kill} of {KillCount}, MILLRACE_SHOP_SEED={Seed}";
            int endedBefore = orderCount;
            orderCount += OrdersPerKill;
            string[] requested = await KillUnderLoadAsync(orderCount, endedBefore + random.Next(LatestKill), kill, moment);
            // Requests that came when all others had been placed are more than were asked for.
            orderCount = Math.Max(orderCount, (await _folder.CountAsync()).Accepted);
            if (random.Next(2) == 0)
            {
                // Once more, while it takes up what the first kill left.
                await KillAsync(orderCount, tally => tally.Open > 0 && tally.Ended > endedBefore, moment + ", once more");
            }

            ShopLine line = await _folder.RequireEndAsync(["--orders", Text(orderCount), .. s_trouble]);
            ShopFolder.RequireGood(line, orderCount);
            await RequireEndedOnceAsync(requested);
        }
    }

    [Fact]
    public async Task Killed_while_it_opens_it_opens_the_next_time()
    {
        Func<Tally?, bool>[] moments = [_ => true, _ => Directory.Exists(_folder.Options.LogDirectory), tally => tally is not null];
        foreach (Func<Tally?, bool> moment in moments)
        {
            await using RunningProgram shop = _folder.Start("--orders", "10", "--exit");
            await WatchAsync(shop, moment, "while it opens");
            await shop.KillAsync();
        }

        ShopFolder.RequireGood(await _folder.RequireEndAsync("--orders", "10"), 10);
    }

    [Fact]
    public async Task Asked_to_stop_under_load_it_ends_in_order_and_goes_on_the_next_time()
    {
        await using (RunningProgram shop = _folder.Start(["--orders", "300", "--exit", .. s_trouble]))
        {
            await WatchAsync(shop, tally => tally is { Ended: > 20, Open: > 0 }, "under load");
            shop.RequestStop();

            Assert.Equal(1, await shop.WaitForExitAsync());
            Assert.True(ShopFolder.Read(shop).Stuck > 0, shop.Transcript);
            Assert.Contains(shop.Output, line => line.StartsWith("Stopped before every order had ended.", StringComparison.Ordinal));
        }

        ShopFolder.RequireGood(await _folder.RequireEndAsync(["--orders", "300", .. s_trouble]), 300);
    }

    private static int Setting(string name, int byDefault) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : byDefault;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>Kills the shop when so many orders have ended, with orders of its own and orders from outside under way.</summary>
    /// <returns>The orders from outside that were accepted.</returns>
    private async Task<string[]> KillUnderLoadAsync(int orderCount, int endedAtKill, int kill, string moment)
    {
        await using RunningProgram shop = _folder.Start(["--orders", Text(orderCount), "--exit", "--listen", "127.0.0.1:0", .. s_trouble]);
        using HttpClient client = await ShopProgramTests.ConnectAsync(shop);
        string[] requested = [.. Enumerable.Range(1, RequestsPerKill).Select(number => $"request-{kill}-{number}")];
        foreach (string id in requested)
        {
            // Paid for and not deliverable: the money has to come back.
            using HttpResponseMessage accepted = await client.PostAsJsonAsync(
                "/orders", new { orderId = id, customer = "ada@example.com", item = "cup", destination = Catalogue.UnreachableDestination });
            accepted.EnsureSuccessStatusCode();
        }

        await KillAsync(shop, tally => tally.Created > 0 && tally.Ended >= endedAtKill, moment);
        return requested;
    }

    private async Task KillAsync(int orderCount, Func<Tally, bool> condition, string moment)
    {
        await using RunningProgram shop = _folder.Start(["--orders", Text(orderCount), "--exit", .. s_trouble]);
        await KillAsync(shop, condition, moment);
    }

    private async Task KillAsync(RunningProgram shop, Func<Tally, bool> condition, string moment)
    {
        await WatchAsync(shop, tally => tally is not null && condition(tally), moment);
        await shop.KillAsync();

        Tally left = await _folder.CountAsync();
        Assert.True(left.Created > 0, $"No saga was open at {moment}: {left}\n{shop.Transcript}");
    }

    /// <summary>Looks at the databases until the condition holds. The condition gets null while there are none.</summary>
    private async Task WatchAsync(RunningProgram shop, Func<Tally?, bool> condition, string moment)
    {
        Task<int> ended = shop.WaitForExitAsync();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(2));
        while (await timer.WaitForNextTickAsync())
        {
            Tally? tally = await TryCountAsync();
            if (condition(tally))
            {
                return;
            }

            Assert.False(ended.IsCompleted, $"It ended before {moment}: {tally}\n{shop.Transcript}");
        }
    }

    private async Task<Tally?> TryCountAsync()
    {
        try
        {
            return File.Exists(_folder.Options.DatabasePath("notification")) ? await _folder.CountAsync() : null;
        }
        catch (Microsoft.Data.Sqlite.SqliteException)
        {
            // Its tables are just being made.
            return null;
        }
    }

    private async Task RequireEndedOnceAsync(string[] requested)
    {
        await using ShopDatabases databases = new(_folder.Options);
        foreach (string id in requested)
        {
            Assert.Equal(OrderStatus.Cancelled, databases.Orders.Orders.Single(order => order.Id == id).Status);
            long[] ledger = [.. databases.Payments.Ledger.Where(entry => entry.OrderId == id).Select(entry => entry.AmountCents)];
            Assert.True(ledger is [] or [895, -895], $"{id}: {string.Join(", ", ledger)}");
        }
    }
}
