using System.Text.RegularExpressions;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>The Kafka client's commands in the README, run as they stand, print what the README shows.</summary>
public sealed partial class ReadmeTests
{
    private const string ReadmeAddress = "127.0.0.1:9092";

    [Fact]
    public async Task The_kcat_commands_of_the_readme_print_what_it_says()
    {
        Kcat.Require();
        string readme = await File.ReadAllTextAsync(Path.Combine(Path.GetDirectoryName(Corpus.LicencePath)!, "README.md"));
        Match block = KcatBlock().Match(readme);
        Assert.True(block.Success, "README.md has no block of shell commands with kcat, followed by a block of text that shows the result.");
        Assert.Contains(ReadmeAddress, block.Groups["commands"].Value, StringComparison.Ordinal);
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();

        await using RunningProgram shell = RunningProgram.Start(
            "bash", "-euo", "pipefail", "-c", block.Groups["commands"].Value.Replace(ReadmeAddress, broker.Address, StringComparison.Ordinal));
        await shell.RequireSuccessAsync();

        Assert.Equal(block.Groups["output"].Value.TrimEnd('\n').Split('\n'), shell.Output);
    }

    [GeneratedRegex("```sh\n(?<commands>[^`]*kcat[^`]*)```\n\n```text\n(?<output>[^`]*)```")]
    private static partial Regex KcatBlock();
}
