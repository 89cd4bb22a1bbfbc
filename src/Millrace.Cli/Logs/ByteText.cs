using System.Text;

namespace Millrace.Cli;

/// <summary>Bytes for a person: as text where they are printable UTF-8, else in hexadecimal.</summary>
internal static class ByteText
{
    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static string Of(ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } value)
        {
            return "null";
        }

        try
        {
            string text = s_strict.GetString(value.Span);
            if (!text.Any(char.IsControl))
            {
                return text;
            }
        }
        catch (DecoderFallbackException)
        {
            // Not text: shown as what it is, below.
        }

        return $"0x{Convert.ToHexStringLower(value.Span)}";
    }
}
