using System.Text.RegularExpressions;

namespace Millrace.Repository.Tests.Rules;

/// <summary>Words that do not belong in the repository: plans, leftovers, one machine's paths, one registry's name; sleeps.</summary>
internal static class WordRules
{
    private static readonly TimeSpan s_matchTimeout = TimeSpan.FromSeconds(5);

    // The rules themselves and the test that breaks them have to name the words.
    private static readonly string[] s_exemptFiles =
    [
        "tests/Millrace.Repository.Tests/Rules/WordRules.cs",
        "tests/Millrace.Repository.Tests/RulesTests.cs",
    ];

    private static readonly (Regex Pattern, string Reason)[] s_everywhere =
    [
        (Word(@"(?<![\w.])/(work|home|root|Users)/\w", RegexOptions.None), "a path of one machine"),
        (Word(@"https?://[^\s""']*(registry|packages|index\.json)"), "a registry's address"),
    ];

    private static readonly (Regex Pattern, string Reason)[] s_codeAndPages =
    [
        (Word(@"\b(TODO|FIXME|HACK|XXX)\b", RegexOptions.None), "a leftover"),
        (Word(@"\bfor now\b|\bnot (yet )?implemented\b|\bNotImplementedException\b|\bcoming soon\b"), "a leftover"),
        (Word(@"\bmilestones?\b|\broadmap\b|\bphase (\d|[ab]\b|one|two|three)|\bissue #?\d|\bin a (later|future) (version|release|phase)"), "a plan"),
    ];

    private static readonly (Regex Pattern, string Reason)[] s_tests =
    [
        // A delay without end is a handler that hangs. One that has to take real time says why in the line above it.
        (Word(@"Thread\.Sleep|(?<!// Real time: [^\n]*\n[^\n]*)Task\.Delay\((?!Timeout\.Infinite)|Thread\.SpinWait|SpinWait\.SpinUntil"),
            "a sleep; wait on a condition or on fake time, or say in the line above why it takes '// Real time: ...'"),
    ];

    public static IEnumerable<string> Violations(RepositoryFiles files)
        => from file in files.TextByPath
           where !s_exemptFiles.Contains(file.Key, StringComparer.Ordinal)
           orderby file.Key
           from violation in FileViolations(file.Key, file.Value)
           select violation;

    private static IEnumerable<string> FileViolations(string path, string text)
    {
        IEnumerable<(Regex Pattern, string Reason)> rules = s_everywhere;
        bool isCode = path.EndsWith(".cs", StringComparison.Ordinal) || path.EndsWith(".razor", StringComparison.Ordinal)
            || path.EndsWith(".sh", StringComparison.Ordinal);
        if (isCode || path.EndsWith(".md", StringComparison.Ordinal))
        {
            rules = rules.Concat(s_codeAndPages);
        }

        if (isCode && path.StartsWith("tests/", StringComparison.Ordinal))
        {
            rules = rules.Concat(s_tests);
        }

        foreach ((Regex pattern, string reason) in rules)
        {
            foreach (Match match in pattern.Matches(text))
            {
                int line = text.AsSpan(0, match.Index).Count('\n') + 1;
                yield return $"{path}:{line}: '{match.Value}' is {reason}.";
            }
        }
    }

    private static Regex Word(string pattern, RegexOptions options = RegexOptions.IgnoreCase)
        => new(pattern, options | RegexOptions.CultureInvariant, s_matchTimeout);
}
