using System.CommandLine;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace log dump</c>: a file of a data directory, or the log of a partition, in readable form.</summary>
internal static class LogDumpCommand
{
    public static Command Create()
    {
        Argument<string> path = new("PATH") { Description = "A file of a data directory, or the directory of a partition: DIR/TOPIC-PARTITION." };
        Option<long> from = new("--from") { Description = "Begin with the batch that holds this offset.", HelpName = "OFFSET" };
        Option<long?> count = new("--count") { Description = "Show this many batches, or with --records this many records, at most.", HelpName = "N" };
        Option<bool> records = new("--records") { Description = "Show the records of each batch, decompressed." };
        from.Validators.Add(static result => RequireNotNegative(result, 0));
        count.Validators.Add(static result => RequireNotNegative(result, 1));
        Command command = new("dump", "Shows the batches and records of a log, or the content of an index, a snapshot or a checkpoint.")
        {
            path, from, count, records,
        };
        command.SetAction((parsed, _) => LogCommand.RunAsync(
            parsed.InvocationConfiguration,
            () => DumpAsync(
                Path.GetFullPath(parsed.GetRequiredValue(path)).TrimEnd('/'),
                new Offset(parsed.GetValue(from)),
                parsed.GetValue(count) ?? long.MaxValue,
                parsed.GetValue(records),
                parsed.InvocationConfiguration)));
        return command;
    }

    private static void RequireNotNegative(System.CommandLine.Parsing.OptionResult result, long minimum)
    {
        bool isRight = result.Tokens is [{ Value: var text }] && long.TryParse(text, out long value) && value >= minimum;
        if (!isRight)
        {
            string given = string.Join(' ', result.Tokens.Select(static token => token.Value));
            result.AddError($"'{given}' is not a number for {result.Option.Name}; give one from {minimum} on.");
        }
    }

    private static async Task<int> DumpAsync(string path, Offset from, long count, bool showsRecords, InvocationConfiguration console)
    {
        FileStorage storage = new();
        bool isPartition = storage.DirectoryExists(path);
        if (!isPartition && !storage.FileExists(path))
        {
            await console.Error.WriteLineAsync($"There is no {path}. Name a file of a data directory, or the directory of a partition.");
            return ExitCode.Usage;
        }

        IReadOnlyList<string> files = isPartition ? LogFile.SegmentsFrom(storage, path, from) : [path];
        if (files.Count == 0)
        {
            await console.Error.WriteLineAsync($"There is no segment in {path}. Name the directory of a partition, for example DIR/orders-0.");
            return ExitCode.Usage;
        }

        if (LogFile.KindOf(files[0]) == LogFileKind.Unknown)
        {
            await console.Error.WriteLineAsync($"{path} has no name of a file that a log has: segments, indexes, snapshots and checkpoints are shown.");
            return ExitCode.Usage;
        }

        BatchDump dump = new(console.Output, TopicOf(isPartition ? path : Path.GetDirectoryName(path)!), showsRecords, count);
        bool isWhole = true;
        foreach (string file in files.TakeWhile(_ => !dump.IsComplete))
        {
            await console.Output.WriteLineAsync($"Dumping {file}");
            isWhole &= LogFile.KindOf(file) == LogFileKind.Batches
                ? dump.Write(LogFile.ReadBatches(storage, file, from), from)
                : await WriteLinesAsync(LogFile.Describe(storage, file), console.Output);
        }

        return isWhole ? ExitCode.Success : ExitCode.Failure;
    }

    private static async Task<bool> WriteLinesAsync(IEnumerable<string> lines, TextWriter output)
    {
        foreach (string line in lines)
        {
            await output.WriteLineAsync(line);
        }

        return true;
    }

    private static string TopicOf(string directory) =>
        LogFile.TryParsePartition(Path.GetFileName(directory), out TopicPartition partition) ? partition.Topic : "";
}
