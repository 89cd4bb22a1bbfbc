using System.Text.RegularExpressions;

namespace Millrace.Repository.Tests.Rules;

/// <summary>Log messages stand in one LogMessages.cs a project, each with an explicit event id that its project uses once.</summary>
internal static partial class LogEventRules
{
    public static IEnumerable<string> Violations(RepositoryFiles files)
    {
        foreach ((string path, string text) in files.Under(".cs", "src"))
        {
            bool isLogMessages = path.EndsWith("/LogMessages.cs", StringComparison.Ordinal);
            int attributeCount = Attribute().Count(text);
            if (!isLogMessages && attributeCount > 0)
            {
                yield return $"{path}: log messages belong in the project's LogMessages.cs.";
            }

            if (isLogMessages && path.Count(character => character == '/') != 2)
            {
                yield return $"{path}: LogMessages.cs stands at the root of its project.";
            }

            int[] eventIds = [.. EventId().Matches(text).Select(match => int.Parse(match.Groups[1].Value))];
            if (eventIds.Length != attributeCount)
            {
                yield return $"{path}: {attributeCount} log messages, {eventIds.Length} of them with an explicit event id.";
            }

            foreach (IGrouping<int, int> same in eventIds.GroupBy(id => id).Where(group => group.Count() > 1))
            {
                yield return $"{path}: event id {same.Key} is used {same.Count()} times.";
            }

            if (!eventIds.SequenceEqual(eventIds.Order()))
            {
                yield return $"{path}: event ids do not rise from top to bottom.";
            }
        }
    }

    /// <summary>Event ids come in bands of a thousand; a band belongs to one project, so that an id alone names its source.</summary>
    public static IEnumerable<string> BandViolations(RepositoryFiles files)
        => from file in files.Under("/LogMessages.cs", "src")
           from band in EventId().Matches(file.Text).Select(match => int.Parse(match.Groups[1].Value) / 1000).Distinct()
           group file.Path by band into users
           where users.Distinct(StringComparer.Ordinal).Count() > 1
           select $"Event ids {users.Key * 1000} to {(users.Key * 1000) + 999} are used by {string.Join(" and ", users)}.";

    [GeneratedRegex(@"\[LoggerMessage\(")]
    private static partial Regex Attribute();

    [GeneratedRegex(@"\[LoggerMessage\(\s*(?:EventId\s*=\s*)?(\d+)")]
    private static partial Regex EventId();
}
