using System.Net;
using System.Net.Sockets;
using Millrace.Interop.Tests.Programs;

namespace Shop.Tests;

/// <summary>What the shop says, and how it ends, when something is wrong with what it was given.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly ShopFolder _folder = new();

    public static TheoryData<string[], string> BadCommandLines => new()
    {
        { ["--frobnicate"], "'--frobnicate' is not an option of the shop." },
        { ["orders"], "'orders' is not an option of the shop." },
        { ["--orders"], "--orders" },
        { ["--orders", "many"], "'many' is not a number for --orders; it goes from 0 to 1000000." },
        { ["--orders", "-1"], "'-1' is not a number for --orders" },
        { ["--orders", "1000001"], "'1000001' is not a number for --orders" },
        { ["--seed", "1.5"], "'1.5' is not a number for --seed" },
        { ["--decline", "1.01"], "'1.01' is not a rate for --decline; it goes from 0 to 1" },
        { ["--decline", "NaN"], "'NaN' is not a rate for --decline" },
        { ["--out-of-stock", "-0.1"], "'-0.1' is not a rate for --out-of-stock" },
        { ["--flaky", "often"], "'often' is not a rate for --flaky" },
        { ["--listen", "nonsense"], "'nonsense' is not an address for --listen; write HOST:PORT" },
        { ["--listen", "localhost:99999"], "'localhost:99999' is not an address for --listen" },
        { ["--kafka-listen", "::1:9092"], "'::1:9092' is not an address for --kafka-listen" },
        { ["--data", ""], "--data is empty" },
        { ["--kafka", ""], "--kafka is empty" },
        { ["--kafka", "127.0.0.1:1", "--role", "boss"], "'boss' is not a role of the shop" },
        { ["--role", "payment"], "--role needs --kafka" },
        { ["--kafka", "127.0.0.1:1", "--kafka-listen", "127.0.0.1:0"], "--kafka-listen is for a log in this process" },
        { ["--kafka", "127.0.0.1:1", "--role", "stock", "--exit"], "the role stock serves until it is stopped" },
        { ["--replicas", "-2"], "'-2' is not a number for --replicas" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(BadCommandLines))]
    public async Task A_command_line_that_makes_no_sense_is_refused_with_a_sentence(string[] arguments, string expected)
    {
        await using RunningProgram shop = ShopFolder.Run(arguments);

        Assert.Equal(2, await shop.WaitForExitAsync());
        Assert.Contains(expected, shop.Error[0], StringComparison.Ordinal);
        Assert.Empty(shop.Output);
        RequireNoTrace(shop);
    }

    [Fact]
    public async Task A_data_directory_that_another_shop_uses_is_refused_and_left_alone()
    {
        await using RunningProgram first = _folder.Start("--orders", "5", "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0");
        await first.WaitUntilAsync("open", (output, _) => output.Contains("Try next:"));

        await RequireRefusalAsync("is locked by another process", _folder.Start("--orders", "50", "--exit"));

        first.RequestStop();
        Assert.Equal(0, await first.WaitForExitAsync());
        ShopFolder.RequireGood(await _folder.RequireEndAsync("--orders", "5"), 5);
    }

    [Theory]
    [InlineData("/proc/shop")]
    [InlineData("/dev/null/shop")]
    public async Task A_data_directory_that_cannot_be_made_is_refused(string directory) =>
        await RequireRefusalAsync($"The data directory {directory} cannot be made", ShopFolder.Run("--data", directory, "--exit"));

    [Fact]
    public async Task A_data_directory_that_is_a_file_is_refused()
    {
        await File.WriteAllTextAsync(_folder.Data, "a file");

        await RequireRefusalAsync(_folder.Data, _folder.Start("--exit"));
        Assert.Equal("a file", await File.ReadAllTextAsync(_folder.Data));
    }

    [Fact]
    public async Task A_database_that_is_none_is_refused_and_left_alone()
    {
        Directory.CreateDirectory(_folder.Data);
        string database = _folder.Options.DatabasePath("payment");
        string letter = new('x', 8192);
        await File.WriteAllTextAsync(database, letter);

        await RequireRefusalAsync("The database of the payment service", _folder.Start("--exit"));
        Assert.Equal(letter, await File.ReadAllTextAsync(database));
    }

    [Theory]
    [InlineData("--listen")]
    [InlineData("--kafka-listen")]
    public async Task A_port_in_use_is_refused(string option)
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        socket.Listen();
        string address = socket.LocalEndPoint!.ToString()!;

        string sentence = await RequireRefusalAsync(address, _folder.Start("--exit", option, address));
        Assert.EndsWith($" {option}.", sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_address_of_another_machine_is_refused() =>
        await RequireRefusalAsync("--listen", _folder.Start("--exit", "--listen", "192.0.2.1:80"));

    private static async Task<string> RequireRefusalAsync(string expected, RunningProgram shop)
    {
        await using (shop)
        {
            Assert.True(await shop.WaitForExitAsync() == 1, shop.Transcript);
            string sentence = Assert.Single(shop.Error);
            Assert.Contains(expected, sentence, StringComparison.Ordinal);
            Assert.DoesNotContain(shop.Output, line => line.StartsWith("orders=", StringComparison.Ordinal));
            RequireNoTrace(shop);
            return sentence;
        }
    }

    private static void RequireNoTrace(RunningProgram shop) =>
        Assert.DoesNotContain(shop.Error, line => line.StartsWith("   at ", StringComparison.Ordinal) || line.Contains("Exception", StringComparison.Ordinal));
}
