using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Millrace.Kafka.Protocol;

/// <summary>
/// The messages of SCRAM, as attributes by their letters (RFC 5802, section 5).
/// </summary>
/// <remarks>
/// <code>
/// client first   n,,n=USER,r=NONCE                 the first two are the GS2 header: no channel binding, no other identity to act as
/// server first   r=NONCE+MORE,s=SALT,i=COUNT
/// client final   c=biws,r=NONCE+MORE,p=PROOF       biws is the GS2 header in base 64
/// server final   v=SIGNATURE   or   e=ERROR
/// </code>
/// </remarks>
public sealed class ScramMessage
{
    /// <summary>No channel binding, and no other identity to act as.</summary>
    public const string Gs2Header = "n,,";

    /// <summary><see cref="Gs2Header"/> as the client's last message repeats it.</summary>
    public const string ChannelBinding = "c=biws";

    /// <summary>Longer ones are not read: names, nonces and keys have some hundreds of bytes at most.</summary>
    public const int MaxByteCount = 64 * 1024;

    private readonly Dictionary<char, string> _attributes;

    private ScramMessage(string text, Dictionary<char, string> attributes)
    {
        Text = text;
        _attributes = attributes;
    }

    /// <summary>The message as it was sent; signatures cover it.</summary>
    public string Text { get; }

    public string? this[char name] => _attributes.GetValueOrDefault(name);

    /// <summary>Reads <c>a=value,b=value</c>. Letters may not repeat; those that nobody knows are kept and mean nothing, but for <c>m</c>, which forbids that.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ScramMessage? message, [NotNullWhen(false)] out string? error)
    {
        message = null;
        var attributes = new Dictionary<char, string>();
        foreach (string part in text.Split(','))
        {
            if (part.Length < 2 || part[1] != '=' || !char.IsAsciiLetter(part[0]))
            {
                // Kafka's extensions have names of several letters (tokenauth=true); they stand behind what SCRAM itself defines.
                if (attributes.Count > 0 && part.IndexOf('=', StringComparison.Ordinal) > 1)
                {
                    continue;
                }

                error = "it is no list of attributes";
                return false;
            }

            if (part[0] == 'm' || !attributes.TryAdd(part[0], part[2..]))
            {
                error = part[0] == 'm' ? "it needs an extension that is not known here" : $"its attribute {part[0]} is there twice";
                return false;
            }
        }

        message = new ScramMessage(text, attributes);
        error = null;
        return true;
    }

    /// <summary>Bytes that come from the other side, as text.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out string? text)
    {
        text = null;
        if (bytes.Length > MaxByteCount || !System.Text.Unicode.Utf8.IsValid(bytes))
        {
            return false;
        }

        text = Encoding.UTF8.GetString(bytes);
        return true;
    }

    public bool TryGetBytes(char name, [NotNullWhen(true)] out byte[]? bytes)
    {
        bytes = null;
        if (this[name] is not { Length: > 0 } text)
        {
            return false;
        }

        byte[] buffer = new byte[text.Length];
        if (!Convert.TryFromBase64String(text, buffer, out int byteCount))
        {
            return false;
        }

        bytes = buffer[..byteCount];
        return true;
    }

    public bool TryGetNumber(char name, out int number) =>
        int.TryParse(this[name], NumberStyles.None, CultureInfo.InvariantCulture, out number);

    /// <summary>A name with what separates attributes escaped.</summary>
    public static string EscapeName(string name) =>
        name.Replace("=", "=3D", StringComparison.Ordinal).Replace(",", "=2C", StringComparison.Ordinal);

    /// <summary>The name again; null where an <c>=</c> escapes nothing, which RFC 5802 has a server refuse.</summary>
    public static string? UnescapeName(string escaped)
    {
        string rest = escaped.Replace("=2C", "", StringComparison.Ordinal).Replace("=3D", "", StringComparison.Ordinal);
        return rest.Contains('=') ? null : escaped.Replace("=2C", ",", StringComparison.Ordinal).Replace("=3D", "=", StringComparison.Ordinal);
    }
}
