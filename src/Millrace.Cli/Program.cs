using System.CommandLine;

namespace Millrace.Cli;

/// <summary>The <c>millrace</c> command.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        RootCommand root = new("Millrace, a durable event log that speaks the Kafka protocol.")
        {
        };

        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            foreach (string message in parsed.Errors.Select(error => error.Message).Distinct(StringComparer.Ordinal))
            {
                await Console.Error.WriteLineAsync(message);
            }

            string command = parsed.CommandResult.Command is RootCommand ? "millrace" : $"millrace {parsed.CommandResult.Command.Name}";
            await Console.Error.WriteLineAsync($"Run '{command} --help' to see the options.");
            return ExitCode.Usage;
        }

        // Commands take the stop signals themselves: a broker that closes its files may need longer than a fixed grace.
        return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
    }
}
