using System.CommandLine;

namespace Shop;

internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        RootCommand command = ShopCommandLine.Create(options => new ShopProgram(options, Console.Out, Console.Error, TimeProvider.System).RunAsync());
        ParseResult parsed = command.Parse(arguments);
        if (parsed.Errors.Count == 0)
        {
            // The host takes the stop signals itself.
            return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
        }

        IEnumerable<string> messages = parsed.UnmatchedTokens.Count > 0
            ? parsed.UnmatchedTokens.Select(token => $"'{token}' is not an option of the shop.")
            : parsed.Errors.Select(error => error.Message).Distinct(StringComparer.Ordinal);
        foreach (string message in messages)
        {
            await Console.Error.WriteLineAsync(message);
        }

        await Console.Error.WriteLineAsync("Run it with --help to see what there is.");
        return ExitCode.Usage;
    }
}
