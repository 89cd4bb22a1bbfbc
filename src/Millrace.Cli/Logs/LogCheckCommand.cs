using System.CommandLine;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace log check</c>: reads everything, changes nothing, and tells what is wrong.</summary>
internal static class LogCheckCommand
{
    public static Command Create()
    {
        Argument<string> directory = LogCommand.DirectoryArgument();
        Argument<TopicPartition[]> partitions = new("TOPIC-PARTITION")
        {
            Description = "The partitions to check; all, if none is named.",
            Arity = ArgumentArity.ZeroOrMore,
            CustomParser = static result => [.. result.Tokens.Select(token => LogCommand.ParsePartition(result, token.Value)).OfType<TopicPartition>()],
        };
        Command command = new(
            "check",
            "Reads every batch, index, snapshot and checkpoint and tells what is wrong. Changes nothing, and works beside a broker. "
            + "Ends with 0 if all is well, with 1 if something is wrong, and with 2 if there is nothing to check.")
        {
            directory, partitions,
        };
        command.SetAction((parsed, _) => LogCommand.RunAsync(
            parsed.InvocationConfiguration,
            () => CheckAsync(parsed.GetRequiredValue(directory), parsed.GetValue(partitions) ?? [], parsed.InvocationConfiguration.Output)));
        return command;
    }

    private static async Task<int> CheckAsync(string directory, TopicPartition[] partitions, TextWriter output)
    {
        InspectionSummary summary = LogInspection.Run(
            LogCommand.Options(directory),
            new FileStorage(),
            [.. partitions.Distinct()],
            finding => output.WriteLine(finding.IsNote ? $"note: {finding}" : finding.ToString()));
        if (summary.WasInUse)
        {
            await output.WriteLineAsync(
                "A broker uses the directory: what it wrote since the check began, the ends of the indexes that grow, and files that it replaced "
                + "meanwhile were not looked at. Stop it and check again to see everything.");
        }

        string verdict = summary.FindingCount switch
        {
            0 => "Nothing is wrong",
            1 => "1 thing is wrong",
            int count => $"{count} things are wrong",
        };
        await output.WriteLineAsync(
            $"{verdict}: {Counted(summary.PartitionCount, "partition")}, {Counted(summary.SegmentCount, "segment")}, "
            + $"{Counted(summary.BatchCount, summary.BatchCount == 1 ? "batch" : "batche")}, {Counted(summary.ByteCount, "byte")} read.");
        return summary.FindingCount == 0 ? ExitCode.Success : ExitCode.Failure;
    }

    private static string Counted(long count, string noun) => count == 1 ? $"1 {noun}" : $"{count} {noun}s";
}
