using System.Globalization;
using System.Text;

namespace Millrace.Cli.Doctor;

/// <summary>Java's properties, as the configuration files of Kafka's programs are written: <c>name=value</c>, comments, escapes, lines that go on.</summary>
internal static class PropertiesFile
{
    public static Dictionary<string, string> Parse(string text) => Parse(text, strictAbout: null);

    /// <summary>As Java, and refuses what Java takes and nobody means: a line without a value, as in a file of another format.</summary>
    /// <exception cref="FormatException">A line is no <c>name=value</c>. It is named by its number, since it may hold a secret.</exception>
    public static Dictionary<string, string> ParseStrictly(string fileName, string text) => Parse(text, fileName);

    private static Dictionary<string, string> Parse(string text, string? strictAbout)
    {
        var properties = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((int number, string line) in LogicalLines(text))
        {
            int end = EndOfName(line);
            string name = Unescape(line[..end]);
            if (strictAbout is not null && (end == line.Length || !name.All(static letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '_' or '-')))
            {
                throw new FormatException($"{strictAbout}, line {number}: not of the form NAME=VALUE. It is to be a properties file, as Kafka's tools take it by --command-config.");
            }

            string rest = line[end..].TrimStart(' ', '\t', '\f');
            if (rest.Length > 0 && rest[0] is '=' or ':')
            {
                rest = rest[1..].TrimStart(' ', '\t', '\f');
            }

            properties[name] = Unescape(rest);
        }

        return properties;
    }

    /// <summary>Without comments and blank lines; a line that ends in an odd number of backslashes goes on in the next.</summary>
    private static IEnumerable<(int Number, string Line)> LogicalLines(string text)
    {
        StringBuilder? going = null;
        int number = 0;
        foreach (string raw in text.ReplaceLineEndings("\n").Split('\n'))
        {
            number++;
            string line = raw.TrimStart(' ', '\t', '\f');
            if (going is null && (line.Length == 0 || line[0] is '#' or '!'))
            {
                continue;
            }

            int backslashes = line.Length - line.TrimEnd('\\').Length;
            bool goesOn = backslashes % 2 == 1;
            going ??= new StringBuilder();
            going.Append(goesOn ? line[..^1] : line);
            if (!goesOn)
            {
                yield return (number, going.ToString());
                going = null;
            }
        }

        if (going is not null)
        {
            yield return (number, going.ToString());
        }
    }

    private static int EndOfName(string line)
    {
        for (int index = 0; index < line.Length; index++)
        {
            if (line[index] == '\\')
            {
                index++;
            }
            else if (line[index] is '=' or ':' or ' ' or '\t' or '\f')
            {
                return index;
            }
        }

        return line.Length;
    }

    private static string Unescape(string text)
    {
        if (!text.Contains('\\'))
        {
            return text;
        }

        var result = new StringBuilder(text.Length);
        for (int index = 0; index < text.Length; index++)
        {
            if (text[index] != '\\' || index + 1 == text.Length)
            {
                result.Append(text[index]);
                continue;
            }

            char escaped = text[++index];
            if (escaped == 'u' && index + 4 < text.Length
                && ushort.TryParse(text.AsSpan(index + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort code))
            {
                result.Append((char)code);
                index += 4;
                continue;
            }

            result.Append(escaped switch { 't' => '\t', 'n' => '\n', 'r' => '\r', 'f' => '\f', _ => escaped });
        }

        return result.ToString();
    }
}
