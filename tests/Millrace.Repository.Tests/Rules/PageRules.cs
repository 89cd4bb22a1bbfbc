using System.Text;
using System.Text.RegularExpressions;

namespace Millrace.Repository.Tests.Rules;

/// <summary>Sizes of files, the links between pages, and the changelog's shape.</summary>
internal static partial class PageRules
{
    public const int MaximumCodeLineCount = 800;
    public const int MaximumReadmeLineCount = 150;

    public static IEnumerable<string> LengthViolations(RepositoryFiles files)
        => from file in files.TextByPath
           let maximum = file.Key switch
           {
               "README.md" => MaximumReadmeLineCount,
               _ when file.Key.EndsWith(".cs", StringComparison.Ordinal) => MaximumCodeLineCount,
               _ => int.MaxValue,
           }
           let lineCount = file.Value.Count(character => character == '\n')
           where lineCount > maximum
           select $"{file.Key} has {lineCount} lines; {maximum} is the most.";

    public static IEnumerable<string> LinkViolations(RepositoryFiles files)
    {
        foreach ((string path, string text) in files.Under(".md"))
        {
            foreach (Match link in Link().Matches(WithoutFences(text)))
            {
                string target = link.Groups[1].Value;
                if (target.Contains("://", StringComparison.Ordinal) || target.StartsWith("mailto:", StringComparison.Ordinal))
                {
                    continue;
                }

                string[] parts = target.Split('#', 2);
                string file = parts[0].Length == 0 ? path : Resolve(path, parts[0]);
                bool isFile = files.TextByPath.TryGetValue(file, out string? targetText);
                bool isFolder = files.TextByPath.Keys.Any(key => key.StartsWith(file.TrimEnd('/') + "/", StringComparison.Ordinal));
                if (!isFile && !isFolder)
                {
                    yield return $"{path}: the link to {target} leads nowhere.";
                }
                else if (parts.Length == 2 && (targetText is null || !Anchors(targetText).Contains(parts[1], StringComparer.Ordinal)))
                {
                    yield return $"{path}: {file} has no heading #{parts[1]}.";
                }
            }
        }
    }

    public static IEnumerable<string> IndexViolations(RepositoryFiles files)
    {
        string index = files.TextByPath.GetValueOrDefault("docs/README.md", "");
        return from page in files.Under(".md", "docs")
               where page.Path is not "docs/README.md"
               where !index.Contains($"]({page.Path["docs/".Length..]})", StringComparison.Ordinal)
               select $"docs/README.md does not list {page.Path}.";
    }

    public static IEnumerable<string> ChangelogViolations(RepositoryFiles files)
    {
        string? first = files.TextByPath.GetValueOrDefault("CHANGELOG.md", "").Split('\n')
            .FirstOrDefault(line => line.StartsWith("## ", StringComparison.Ordinal));
        return first is "## Unreleased" ? [] : ["CHANGELOG.md: '## Unreleased' stands on top."];
    }

    private static string WithoutFences(string text) => Fence().Replace(text, "");

    private static string Resolve(string from, string relative)
        => Path.GetRelativePath("/", Path.GetFullPath(Path.Combine("/", Path.GetDirectoryName(from) ?? "", relative))).Replace('\\', '/');

    /// <summary>The anchors that a page's headings get: lower case, punctuation dropped, spaces as hyphens.</summary>
    private static IEnumerable<string> Anchors(string text)
        => Heading().Matches(WithoutFences(text)).Select(heading =>
        {
            StringBuilder anchor = new();
            foreach (char character in heading.Groups[1].Value.Trim().ToLowerInvariant())
            {
                if (char.IsLetterOrDigit(character) || character is '-' or '_')
                {
                    anchor.Append(character);
                }
                else if (character == ' ')
                {
                    anchor.Append('-');
                }
            }

            return anchor.ToString();
        });

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex("^```.*?^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex("^#+ (.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();
}
