using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;

namespace Millrace.Kafka;

/// <summary>The topics whose names match an application's pattern. For the loop of one member.</summary>
/// <param name="pattern">The pattern.</param>
/// <param name="groupId">The group, for the log.</param>
/// <param name="logger">Hears of names at which the pattern takes longer than it allows itself.</param>
internal sealed class TopicPattern(Regex pattern, string groupId, ILogger logger)
{
    private readonly HashSet<string> _told = [];

    // What is settled of the names of the latest picture.
    private Dictionary<string, bool> _matches = [];

    /// <summary>
    /// The topics of a picture that match. A name at which the pattern has timed out does not, and is tried again with the next picture. One that has been settled stays as it is,
    /// so that a processor that is busy takes no topic from a subscription.
    /// </summary>
    public IReadOnlyCollection<string> Select(ClusterView view)
    {
        var matches = new Dictionary<string, bool>();
        foreach (TopicDescription topic in view.Topics.Values)
        {
            if (!topic.IsInternal && topic.ErrorCode == Protocol.ErrorCode.None && Matches(topic.Name) is { } isMatch)
            {
                matches.Add(topic.Name, isMatch);
            }
        }

        _matches = matches;
        _told.RemoveWhere(name => !view.Topics.ContainsKey(name));
        return [.. matches.Where(static match => match.Value).Select(static match => match.Key)];
    }

    private bool? Matches(string topic)
    {
        if (_matches.TryGetValue(topic, out bool isMatch))
        {
            return isMatch;
        }

        try
        {
            return pattern.IsMatch(topic);
        }
        catch (RegexMatchTimeoutException)
        {
            if (_told.Add(topic))
            {
                LogMessages.PatternTimedOut(logger, groupId, pattern.ToString(), topic, pattern.MatchTimeout);
            }

            return null;
        }
    }
}
