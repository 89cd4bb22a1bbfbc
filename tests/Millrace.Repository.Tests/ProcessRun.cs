using System.Diagnostics;

namespace Millrace.Repository.Tests;

/// <summary>What a program said and how it ended.</summary>
internal sealed record ProcessRun(int ExitCode, string Output, string Error)
{
    /// <summary>Runs a program to its end; one that outlives the deadline is killed, with its children, and fails the test.</summary>
    public static async Task<ProcessRun> RunAsync(
        string program, IEnumerable<string> arguments, string workingDirectory, TimeSpan deadline,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            WorkingDirectory = workingDirectory,
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>(StringComparer.Ordinal))
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        using CancellationTokenSource late = new(deadline);
        try
        {
            await process.WaitForExitAsync(late.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{program} {string.Join(' ', start.ArgumentList)} was not done after {deadline}.\n{await output}\n{await error}");
        }

        return new ProcessRun(process.ExitCode, await output, await error);
    }

    /// <summary>The same, for a program that must succeed.</summary>
    public static async Task<string> RequireAsync(
        string program, IEnumerable<string> arguments, string workingDirectory, TimeSpan deadline,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        string[] list = [.. arguments];
        ProcessRun run = await RunAsync(program, list, workingDirectory, deadline, environment);
        Assert.True(run.ExitCode == 0, $"{program} {string.Join(' ', list)} ended with {run.ExitCode}:\n{run.Output}\n{run.Error}");
        return run.Output;
    }
}
