using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// A file of one offset a partition, in Kafka's text format: version 0, the number of lines, then
/// <c>topic partition offset</c> a line.
/// </summary>
internal static class OffsetCheckpoint
{
    /// <summary>Stands in a line where the offset is not known.</summary>
    public static readonly Offset Unknown = new(-1);

    public static string Format(IReadOnlyCollection<KeyValuePair<TopicPartition, Offset>> offsets)
    {
        var text = new StringBuilder();
        text.Append("0\n").Append(offsets.Count).Append('\n');
        foreach ((TopicPartition partition, Offset offset) in offsets)
        {
            text.Append(partition.Topic).Append(' ').Append(partition.Partition).Append(' ').Append(offset.Value).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>False if a single line is missing or wrong: half a checkpoint is no checkpoint.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out Dictionary<TopicPartition, Offset>? offsets)
    {
        offsets = null;
        string[] lines = text.Split('\n');

        // The last line ends in a line feed, so that the split leaves one empty piece behind it.
        if (lines.Length < 3 || lines[0] != "0" || lines[^1].Length != 0
            || !int.TryParse(lines[1], NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            || count != lines.Length - 3)
        {
            return false;
        }

        var parsed = new Dictionary<TopicPartition, Offset>(count);
        for (int line = 2; line < lines.Length - 1; line++)
        {
            string[] parts = lines[line].Split(' ');
            if (parts.Length != 3 || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int partition)
                || !long.TryParse(parts[2], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long offset)
                || offset < Unknown.Value
                || !parsed.TryAdd(new TopicPartition(parts[0], partition), new Offset(offset)))
            {
                return false;
            }
        }

        offsets = parsed;
        return true;
    }
}
