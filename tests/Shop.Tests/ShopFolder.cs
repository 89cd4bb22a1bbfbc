using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.Data.Sqlite;
using Millrace.Interop.Tests.Programs;

namespace Shop.Tests;

/// <summary>What the last line of <c>--exit</c> says.</summary>
internal sealed record ShopLine(int Orders, int Completed, int Compensated, int Stuck, int DuplicateCharges, bool MoneyOk, bool StockOk);

/// <summary>A data directory, and the shop as a process on it.</summary>
internal sealed partial class ShopFolder : IDisposable
{
    /// <summary>The path of Shop.dll, built with these tests.</summary>
    private static readonly string s_program = typeof(ShopFolder).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key is "ShopProgram").Value!;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("millrace-shop-");

    public string Path => _folder.FullName;

    public string Data => System.IO.Path.Combine(Path, "data");

    public ShopOptions Options => new() { DataDirectory = Data };

    /// <summary>Starts the shop with these options, as they are.</summary>
    public static RunningProgram Run(params IEnumerable<string> options)
    {
        RunningProgram shop = RunningProgram.Start("dotnet", ["exec", s_program, .. options]);
        shop.CloseInput();
        return shop;
    }

    /// <summary>Starts the shop on this directory.</summary>
    public RunningProgram Start(params IEnumerable<string> options) => Run(["--data", Data, .. options]);

    /// <summary>Runs the shop on this directory to its end, which must be a success, and reads its last line.</summary>
    public async Task<ShopLine> RequireEndAsync(params IEnumerable<string> options)
    {
        await using RunningProgram shop = Start(["--exit", .. options]);
        await shop.RequireSuccessAsync();
        Assert.Empty(shop.Error);
        return Read(shop);
    }

    public static ShopLine Read(RunningProgram shop)
    {
        Match match = LastLine().Match(shop.Output[^1]);
        Assert.True(match.Success, $"The last line is '{shop.Output[^1]}'.");
        return new ShopLine(Number(1), Number(2), Number(3), Number(4), Number(5), match.Groups[6].Value is "true", match.Groups[7].Value is "true");

        int Number(int group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);
    }

    /// <summary>Whether everything holds for so many orders.</summary>
    public static void RequireGood(ShopLine line, int orderCount)
    {
        Assert.Equal(new ShopLine(orderCount, line.Completed, orderCount - line.Completed, 0, 0, MoneyOk: true, StockOk: true), line);
    }

    public async Task<Tally> CountAsync()
    {
        await using ShopDatabases databases = new(Options);
        return await databases.CountAsync(CancellationToken.None);
    }

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        _folder.Delete(recursive: true);
    }

    [GeneratedRegex(@"^orders=(\d+) completed=(\d+) compensated=(\d+) stuck=(\d+) duplicate_charges=(\d+) money_ok=(true|false) stock_ok=(true|false)$")]
    private static partial Regex LastLine();
}
