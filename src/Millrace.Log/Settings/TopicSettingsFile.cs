using System.Globalization;
using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The settings of topics that have some of their own, by topic and name.</summary>
/// <remarks>
/// <code>
/// 0                              version
/// 2                              lines that follow before the checksum
/// orders cleanup.policy compact  topic, setting, value (which may be empty)
/// orders segment.ms 3600000
/// crc32c 1a2b3c4d                of all bytes before this line
/// </code>
/// The checksum is there because a value that is wrong unnoticed may have records deleted.
/// </remarks>
internal static class TopicSettingsFile
{
    private const string VersionLine = "0";
    private const string ChecksumPrefix = "crc32c ";

    public static string Format(IEnumerable<KeyValuePair<string, SortedDictionary<string, string>>> overridesByTopic)
    {
        var lines = new StringBuilder();
        int count = 0;
        foreach ((string topic, SortedDictionary<string, string> overrides) in overridesByTopic)
        {
            foreach ((string name, string value) in overrides)
            {
                lines.Append(topic).Append(' ').Append(name).Append(' ').Append(value).Append('\n');
                count++;
            }
        }

        string body = $"{VersionLine}\n{count}\n{lines}";
        return $"{body}{ChecksumPrefix}{Checksum(body)}\n";
    }

    /// <summary>What is wrong with the text, or null.</summary>
    public static string? FindFault(string text, out SortedDictionary<string, SortedDictionary<string, string>> overridesByTopic)
    {
        overridesByTopic = new SortedDictionary<string, SortedDictionary<string, string>>(StringComparer.Ordinal);
        string[] lines = text.Split('\n');
        if (lines[0] != VersionLine && lines.Length > 1)
        {
            return $"has version '{lines[0]}', and this program reads {VersionLine}";
        }

        int body = text.LastIndexOf(ChecksumPrefix, StringComparison.Ordinal);
        if (lines.Length < 4 || body < 0 || text[body..] != $"{ChecksumPrefix}{Checksum(text[..body])}\n")
        {
            return "does not have the checksum of its content";
        }

        // The checksum is right, so what fails here was written so, by another program or by hand.
        int lineCount = lines.Length - 4;
        if (lines[1] != lineCount.ToString(CultureInfo.InvariantCulture))
        {
            return $"says that it has {lines[1]} settings and has {lineCount}";
        }

        for (int line = 2; line < 2 + lineCount; line++)
        {
            string[] parts = lines[line].Split(' ', 3);
            if (parts.Length != 3 || !FileNames.IsTopicName(parts[0]))
            {
                return $"has no topic, setting and value in line {line + 1}";
            }

            if (!overridesByTopic.TryGetValue(parts[0], out SortedDictionary<string, string>? overrides))
            {
                overrides = new SortedDictionary<string, string>(StringComparer.Ordinal);
                overridesByTopic.Add(parts[0], overrides);
            }

            if (!overrides.TryAdd(parts[1], parts[2]))
            {
                return $"has {parts[1]} of {parts[0]} twice";
            }
        }

        return null;
    }

    private static string Checksum(string body) => Crc32C.Compute(Encoding.UTF8.GetBytes(body)).ToString("x8", CultureInfo.InvariantCulture);
}
