using System.Globalization;
using System.Text;

namespace Millrace.Cli.Doctor;

/// <summary>Java's properties, as the configuration files of Kafka's programs are written: <c>name=value</c>, comments, escapes, lines that go on.</summary>
internal static class PropertiesFile
{
    public static Dictionary<string, string> Parse(string text)
    {
        var properties = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string line in LogicalLines(text))
        {
            int end = EndOfName(line);
            string name = Unescape(line[..end]);
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
    private static IEnumerable<string> LogicalLines(string text)
    {
        StringBuilder? going = null;
        foreach (string raw in text.ReplaceLineEndings("\n").Split('\n'))
        {
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
                yield return going.ToString();
                going = null;
            }
        }

        if (going is not null)
        {
            yield return going.ToString();
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
