using System.CommandLine;
using System.CommandLine.Parsing;
using Millrace.Cli.Doctor;
using Millrace.Cli.Plan;

namespace Millrace.Cli;

/// <summary>The <c>millrace</c> command.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        RootCommand root = new("Millrace, a durable event log that speaks the Kafka protocol.")
        {
            ServeCommand.Create(),
            LogCommand.Create(),
            UserCommand.Create(),
            DoctorCommand.Create(),
            PlanCommand.Create(),
        };

        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            string command = NameOf(parsed.CommandResult);
            IEnumerable<string> messages = parsed.UnmatchedTokens.Count > 0
                ? parsed.UnmatchedTokens.Select(token => $"'{token}' is not a command or an option of {command}.")
                : parsed.Errors.Select(error => error.Message).Distinct(StringComparer.Ordinal);
            foreach (string message in messages)
            {
                await Console.Error.WriteLineAsync(message);
            }

            await Console.Error.WriteLineAsync($"Run '{command} --help' to see what there is.");
            return ExitCode.Usage;
        }

        // Commands take the stop signals themselves: a broker that closes its files may need longer than a fixed grace.
        return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
    }

    /// <summary>The command with those above it, as it is typed.</summary>
    private static string NameOf(CommandResult command) =>
        command.Parent is CommandResult parent ? $"{NameOf(parent)} {command.Command.Name}" : "millrace";
}
