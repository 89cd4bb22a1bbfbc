using System.Globalization;
using System.Text;

namespace Millrace.Log;

/// <summary>Where a text of checkpoints is wrong: the first line that is none, for a person who looks at the file.</summary>
internal readonly record struct CheckpointFault(long Position, string Description)
{
    private const string Version = "0";

    /// <param name="columnCount">Of a line: 3 in files of one line a partition, 2 in those of leader epochs.</param>
    public static CheckpointFault Find(string text, int columnCount)
    {
        string[] lines = text.Split('\n');
        if (lines[0] != Version)
        {
            return new CheckpointFault(0, $"line 1 is '{Shortened(lines[0])}' where the version '{Version}' belongs");
        }

        if (lines[^1].Length > 0)
        {
            int complete = text.LastIndexOf('\n') + 1;
            return new CheckpointFault(Encoding.UTF8.GetByteCount(text.AsSpan(0, complete)), $"the file ends in the middle of line {lines.Length}");
        }

        long position = 0;
        for (int number = 0; number < lines.Length - 1; number++)
        {
            bool isRight = number switch
            {
                0 => true,
                1 => int.TryParse(lines[1], NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count == lines.Length - 3,
                _ => IsLine(lines[number], columnCount),
            };
            if (!isRight)
            {
                string expected = number == 1 ? $"the number of lines behind it belongs, and there are {lines.Length - 3}" : $"{columnCount} columns belong";
                return new CheckpointFault(position, $"line {number + 1} is '{Shortened(lines[number])}' where {expected}");
            }

            position += Encoding.UTF8.GetByteCount(lines[number]) + 1;
        }

        return new CheckpointFault(position, lines.Length > 2 ? "two lines contradict each other, or a number is out of range" : "the number of lines is missing");
    }

    private static bool IsLine(string line, int columnCount)
    {
        string[] columns = line.Split(' ');
        int firstNumber = columnCount == 3 ? 1 : 0;
        return columns.Length == columnCount && columns[firstNumber..].All(static column =>
            long.TryParse(column, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _));
    }

    private static string Shortened(string line)
    {
        const int maximumLength = 60;
        string printable = string.Concat(line.Select(static character => char.IsControl(character) ? '?' : character));
        return printable.Length <= maximumLength ? printable : printable[..maximumLength] + "...";
    }
}
