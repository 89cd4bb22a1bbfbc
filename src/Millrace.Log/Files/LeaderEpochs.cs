using System.Globalization;
using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>An epoch of leadership and the first offset written in it.</summary>
public readonly record struct LeaderEpochStart(int Epoch, Offset StartOffset);

/// <summary>
/// The epochs of a partition in ascending order of both columns. Kept in <c>leader-epoch-checkpoint</c> in Kafka's text format:
/// version 0, the number of lines, then <c>epoch start-offset</c> a line.
/// </summary>
internal sealed class LeaderEpochs
{
    private readonly List<LeaderEpochStart> _starts;

    public LeaderEpochs(IEnumerable<LeaderEpochStart> starts) => _starts = [.. starts];

    public static LeaderEpochs First => new([new LeaderEpochStart(0, Offset.Zero)]);

    public IReadOnlyList<LeaderEpochStart> Starts => _starts;

    /// <summary>The newest epoch; -1 where there is none.</summary>
    public int Current => _starts.Count == 0 ? -1 : _starts[^1].Epoch;

    /// <summary>The epoch of the last batch before an offset, as far as the file says; -1 where it says nothing.</summary>
    public int Before(Offset offset)
    {
        int found = _starts.FindLastIndex(start => start.StartOffset < offset);
        return found < 0 ? -1 : _starts[found].Epoch;
    }

    /// <summary>
    /// Begins <paramref name="epoch"/> at the end of the log. Epochs that began at or beyond it wrote nothing that is left.
    /// </summary>
    public LeaderEpochs Begin(int epoch, Offset logEndOffset)
    {
        var kept = _starts.Where(start => start.StartOffset < logEndOffset);
        return new LeaderEpochs(kept.Append(new LeaderEpochStart(epoch, logEndOffset)));
    }

    /// <summary>
    /// What is left when the log starts at an offset: epochs that ended there or before go, and the first one that stays begins there, if it began before. The newest one
    /// stays always. As it was where none goes.
    /// </summary>
    public LeaderEpochs StartAt(Offset logStartOffset)
    {
        int first = Math.Max(_starts.FindLastIndex(start => start.StartOffset <= logStartOffset), 0);
        return first == 0 ? this : new LeaderEpochs([_starts[first] with { StartOffset = logStartOffset }, .. _starts.Skip(first + 1)]);
    }

    /// <summary>
    /// The newest epoch that is not newer than <paramref name="epoch"/> and the offset where it ended; null where nothing is known of it.
    /// </summary>
    public (int Epoch, Offset EndOffset)? EndOf(int epoch, Offset logEndOffset)
    {
        if (epoch > Current || epoch < 0)
        {
            return null;
        }

        int found = _starts.FindLastIndex(start => start.Epoch <= epoch);
        if (found < 0)
        {
            return null;
        }

        Offset end = found == _starts.Count - 1 ? logEndOffset : _starts[found + 1].StartOffset;
        return (_starts[found].Epoch, end);
    }

    public string Format()
    {
        var text = new StringBuilder();
        text.Append("0\n").Append(_starts.Count).Append('\n');
        foreach (LeaderEpochStart start in _starts)
        {
            text.Append(start.Epoch).Append(' ').Append(start.StartOffset.Value).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Null if a single line is missing or wrong.</summary>
    public static LeaderEpochs? TryParse(string text)
    {
        string[] lines = text.Split('\n');
        if (lines.Length < 3 || lines[0] != "0" || lines[^1].Length != 0
            || !int.TryParse(lines[1], NumberStyles.None, CultureInfo.InvariantCulture, out int count) || count != lines.Length - 3)
        {
            return null;
        }

        var starts = new List<LeaderEpochStart>(count);
        for (int line = 2; line < lines.Length - 1; line++)
        {
            string[] parts = lines[line].Split(' ');
            if (parts.Length != 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int epoch)
                || !long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out long offset))
            {
                return null;
            }

            var start = new LeaderEpochStart(epoch, new Offset(offset));
            if (starts.Count > 0 && (start.Epoch <= starts[^1].Epoch || start.StartOffset <= starts[^1].StartOffset))
            {
                return null;
            }

            starts.Add(start);
        }

        return new LeaderEpochs(starts);
    }
}
