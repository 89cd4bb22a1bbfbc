using System.Text.RegularExpressions;

namespace Millrace.Repository.Tests;

/// <summary>One fenced block of a page: its language, its text, and where it begins.</summary>
internal sealed record Fence(string Path, int Line, string Language, string Text);

/// <summary>Finds the fenced blocks of the pages.</summary>
internal static partial class Fences
{
    public static IEnumerable<Fence> In(RepositoryFiles files)
        => files.Under(".md").SelectMany(file => In(file.Path, file.Text));

    public static IEnumerable<Fence> In(string path, string text)
        => Block().Matches(text).Select(match => new Fence(
            path,
            text.AsSpan(0, match.Index).Count('\n') + 1,
            match.Groups["language"].Value,
            match.Groups["text"].Value));

    [GeneratedRegex("^```(?<language>[a-z]*)\n(?<text>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();
}
