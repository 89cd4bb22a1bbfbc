using System.CommandLine;
using System.CommandLine.Parsing;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace log</c>: looks at the files of a data directory, and mends them.</summary>
internal static class LogCommand
{
    public static Command Create() => new("log", "Looks at the files of a data directory, and mends them.")
    {
        LogCheckCommand.Create(),
        LogRepairCommand.Create(),
        LogDumpCommand.Create(),
    };

    public static Argument<string> DirectoryArgument() => new("DIR") { Description = "The data directory, as it was given to 'millrace serve --data'." };

    public static TopicPartition? ParsePartition(ArgumentResult result, string text)
    {
        if (LogFile.TryParsePartition(text, out TopicPartition partition))
        {
            return partition;
        }

        result.AddError($"'{text}' is not the name of a partition; write TOPIC-PARTITION, for example orders-3.");
        return null;
    }

    public static LogDirectoryOptions Options(string directory) => new() { Path = Path.GetFullPath(directory) };

    /// <summary>Runs a command's work; what it cannot do is said in a sentence on standard error.</summary>
    public static async Task<int> RunAsync(InvocationConfiguration console, Func<Task<int>> run)
    {
        try
        {
            return await run();
        }
        catch (LogDirectoryException exception)
        {
            await console.Error.WriteLineAsync(exception.Message);
            return exception.Failure is LogDirectoryFailure.Foreign or LogDirectoryFailure.UnsupportedVersion ? ExitCode.Usage : ExitCode.Failure;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            await console.Error.WriteLineAsync($"The disk refused: {exception.Message}");
            return ExitCode.Failure;
        }
    }
}
