using System.CommandLine;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace log repair</c>: says what it would do to a damaged partition, and does it when told to.</summary>
internal static class LogRepairCommand
{
    public static Command Create()
    {
        Argument<string> directory = LogCommand.DirectoryArgument();
        Argument<TopicPartition?> partition = new("TOPIC-PARTITION")
        {
            Description = "The partition to repair.",
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = static result => LogCommand.ParsePartition(result, result.Tokens[0].Value),
        };
        Option<bool> yes = new("--yes") { Description = "Do it. Without it the steps are shown, and asked for at a terminal." };
        Option<bool> newTopicId = new("--new-topic-id") { Description = "Give the topic a new id, where no partition of it tells the one that it had." };
        Command command = new("repair", "Mends one partition of a data directory that no broker uses. What it cuts off the log stays in .cut files beside it.")
        {
            directory, partition, yes, newTopicId,
        };
        command.SetAction((parsed, cancellationToken) => LogCommand.RunAsync(
            parsed.InvocationConfiguration,
            () => RepairAsync(
                LogCommand.Options(parsed.GetRequiredValue(directory)),
                parsed.GetValue(partition)!.Value,
                parsed.GetValue(yes),
                parsed.GetValue(newTopicId) ? NewTopicId() : null,
                parsed.InvocationConfiguration,
                cancellationToken)));
        return command;
    }

    private static Guid NewTopicId()
    {
        Span<byte> bytes = stackalloc byte[16];
        System.Security.Cryptography.RandomNumberGenerator.Fill(bytes);
        return new Guid(bytes);
    }

    private static async Task<int> RepairAsync(
        LogDirectoryOptions options,
        TopicPartition partition,
        bool isAgreed,
        Guid? newTopicId,
        InvocationConfiguration console,
        CancellationToken cancellationToken)
    {
        using LogRepair repair = LogRepair.Prepare(options, new FileStorage(), partition, newTopicId);
        foreach (InspectionFinding finding in repair.Findings.Where(static finding => !finding.IsNote))
        {
            await console.Output.WriteLineAsync($"Found: {finding}");
        }

        if (repair.Refusal is { } refusal)
        {
            await console.Error.WriteLineAsync(refusal);
            return ExitCode.Failure;
        }

        if (repair.Steps.Count == 0)
        {
            bool isClean = repair.Findings.All(static finding => finding.IsNote);
            await console.Output.WriteLineAsync(isClean
                ? $"Nothing is wrong with {partition}; nothing was changed."
                : $"There is nothing that a repair of {partition} could do about it; nothing was changed.");
            return isClean ? ExitCode.Success : ExitCode.Failure;
        }

        for (int number = 0; number < repair.Steps.Count; number++)
        {
            await console.Output.WriteLineAsync($"Step {number + 1}: {repair.Steps[number]}");
        }

        if (!isAgreed && !await AskAsync(console, cancellationToken))
        {
            await console.Error.WriteLineAsync("Nothing was changed. Give --yes to have these steps done.");
            return ExitCode.Failure;
        }

        if (repair.Run(sentence => console.Output.WriteLine($"Done: {sentence}")) is { } reason)
        {
            await console.Error.WriteLineAsync($"{partition} is still offline. {reason}");
            return ExitCode.Failure;
        }

        await console.Output.WriteLineAsync($"{partition} is repaired: the next start of the broker serves it.");
        return ExitCode.Success;
    }

    /// <summary>Asks who sits at the terminal; no, where nobody does.</summary>
    private static async Task<bool> AskAsync(InvocationConfiguration console, CancellationToken cancellationToken)
    {
        if (Console.IsInputRedirected || Console.IsOutputRedirected)
        {
            return false;
        }

        await console.Output.WriteAsync("Do this? Type 'yes': ");
        await console.Output.FlushAsync(cancellationToken);
        string? answer = await Console.In.ReadLineAsync(cancellationToken);
        return string.Equals(answer?.Trim(), "yes", StringComparison.OrdinalIgnoreCase);
    }
}
