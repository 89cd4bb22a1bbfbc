using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;
using Millrace.Interop.Tests.Programs;

namespace Shop.Tests;

/// <summary>The shop as a process that people and programs start.</summary>
public sealed partial class ShopProgramTests : IDisposable
{
    private readonly ShopFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Orders_fail_retry_and_undo_themselves_and_the_books_agree()
    {
        ShopLine line = await _folder.RequireEndAsync("--orders", "60", "--decline", "0.2", "--out-of-stock", "0.1", "--flaky", "0.3", "--seed", "7");

        ShopFolder.RequireGood(line, 60);
        Assert.InRange(line.Compensated, 5, 35);
        Assert.Equal(60 + 60, Directory.GetFiles(_folder.Options.OutboxDirectory, "*.eml").Length);
    }

    [Fact]
    public async Task A_second_run_completes_the_first_to_the_number_asked_for()
    {
        ShopFolder.RequireGood(await _folder.RequireEndAsync("--orders", "20"), 20);
        ShopFolder.RequireGood(await _folder.RequireEndAsync("--orders", "35"), 35);
        ShopFolder.RequireGood(await _folder.RequireEndAsync("--orders", "10"), 35);

        Tally tally = await _folder.CountAsync();
        Assert.Equal((35, 35, 70), (tally.FraudScores, tally.Demanded, tally.Mails));
    }

    [Fact]
    public async Task Nothing_goes_wrong_where_nothing_may()
    {
        ShopLine line = await _folder.RequireEndAsync("--orders", "25", "--decline", "0", "--out-of-stock", "0", "--flaky", "0");

        Assert.Equal(new ShopLine(25, 25, 0, 0, 0, MoneyOk: true, StockOk: true), line);
    }

    [Fact]
    public async Task What_the_shop_says_to_try_next_works()
    {
        Tools.Require("kcat");
        Tools.Require("curl");
        await using RunningProgram shop = _folder.Start("--orders", "10", "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0");
        await shop.WaitUntilAsync("open", (output, _) => output.Any(line => line.Contains("kcat ", StringComparison.Ordinal)));

        string[] commands = [.. shop.Output.SkipWhile(line => line is not "Try next:").Skip(1).Select(line => line.Trim())];
        Assert.Equal(3, commands.Length);
        Assert.Contains("\"orderId\":\"mine\"", await ShellAsync(commands[0]), StringComparison.Ordinal);
        Assert.Contains("\"orderId\":\"mine\"", await ShellAsync(commands[1]), StringComparison.Ordinal);
        string created = await ShellAsync(commands[2]);
        Assert.Equal(10, created.Split('\n').Select(line => line.Split(' ')[0]).Distinct().Count(key => key.StartsWith("order-", StringComparison.Ordinal)));

        shop.RequestStop();
        Assert.Equal(0, await shop.WaitForExitAsync());
        Assert.Empty(shop.Error);
    }

    [Fact]
    public async Task An_order_placed_over_http_is_carried_out_once_however_often_it_is_sent()
    {
        await using RunningProgram shop = _folder.Start(
            "--orders", "0", "--decline", "0", "--out-of-stock", "0", "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0");
        using HttpClient client = await ConnectAsync(shop);

        for (int request = 0; request < 3; request++)
        {
            using HttpResponseMessage accepted = await client.PostAsJsonAsync(
                "/orders", new { orderId = "mine", customer = "ada@example.com", item = "teapot", quantity = 2 });
            Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
            Assert.Equal("/orders/mine", accepted.Headers.Location?.ToString());
        }

        using HttpResponseMessage other = await client.PostAsJsonAsync(
            "/orders", new { orderId = "mine", customer = "eve@example.com", item = "teapot", quantity = 2 });
        Assert.Equal(HttpStatusCode.Conflict, other.StatusCode);

        JsonElement order = await WaitForAsync(client, "/orders/mine", "completed");
        Assert.Equal("ada@example.com", order.GetProperty("customer").GetString());
        Assert.Equal("43.00", order.GetProperty("total").GetString());
        shop.RequestStop();
        Assert.Equal(0, await shop.WaitForExitAsync());
        Tally tally = await _folder.CountAsync();
        Assert.Equal((1, 1, 1), (tally.Accepted, tally.LedgerEntries, tally.Shipments));
    }

    [Theory]
    [InlineData("""{"customer":"ada@example.com","item":"moon"}""", "The shop sells kettle")]
    [InlineData("""{"customer":"ada@example.com","item":"cup","quantity":0}""", "quantity is 0")]
    [InlineData("""{"customer":"ada@example.com","item":"cup","quantity":11}""", "quantity is 11")]
    [InlineData("""{"item":"cup"}""", "customer is ''")]
    [InlineData("""{"customer":"ada@example.com\nBcc: all","item":"cup"}""", "customer is")]
    [InlineData("""{"orderId":"../x","customer":"ada@example.com","item":"cup"}""", "orderId is '../x'")]
    [InlineData("""{"orderId":""", "The body is not an order in JSON")]
    [InlineData("""{"customer":"ada@example.com","item":"cup","quantity":"many"}""", "The body is not an order in JSON")]
    [InlineData("null", "The body is not an order in JSON")]
    [InlineData("", "The body is not an order in JSON")]
    public async Task A_request_that_makes_no_sense_is_refused(string body, string expected)
    {
        await using RunningProgram shop = _folder.Start("--orders", "0", "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0");
        using HttpClient client = await ConnectAsync(shop);

        using StringContent content = new(body, new System.Net.Http.Headers.MediaTypeHeaderValue("application/json"));
        using HttpResponseMessage response = await client.PostAsync("/orders", content);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        using (JsonDocument problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync()))
        {
            Assert.Contains(expected, problem.RootElement.GetProperty("detail").GetString(), StringComparison.Ordinal);
        }

        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync("/orders/nobody")).StatusCode);
        Assert.Equal(0, (await _folder.CountAsync()).Accepted);
    }

    internal static async Task<HttpClient> ConnectAsync(RunningProgram shop)
    {
        string? address = null;
        await shop.WaitUntilAsync("listening", (output, _) =>
        {
            address ??= output.Select(line => Address().Match(line)).FirstOrDefault(match => match.Success)?.Groups[1].Value;
            return address is not null;
        });
        return new HttpClient { BaseAddress = new Uri(address!) };
    }

    private static async Task<JsonElement> WaitForAsync(HttpClient client, string path, string status)
    {
        using CancellationTokenSource late = new(RunningProgram.Deadline);
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        while (await timer.WaitForNextTickAsync(late.Token))
        {
            JsonElement order = await client.GetFromJsonAsync<JsonElement>(path, late.Token);
            if (order.GetProperty("status").GetString() == status)
            {
                return order;
            }
        }

        throw new InvalidOperationException("The timer ended.");
    }

    private static async Task<string> ShellAsync(string command)
    {
        await using RunningProgram shell = RunningProgram.Start("bash", "-c", command);
        shell.CloseInput();
        await shell.RequireSuccessAsync();
        return string.Join('\n', shell.Output);
    }

    [GeneratedRegex(@"^  orders +(http://[^/]+)/orders/")]
    private static partial Regex Address();
}
