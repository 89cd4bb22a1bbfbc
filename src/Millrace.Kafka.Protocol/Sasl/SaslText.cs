using System.Globalization;
using System.Text;

namespace Millrace.Kafka.Protocol;

/// <summary>
/// Names and passwords as both sides have to agree on them. RFC 5802 prepares them by SASLprep (RFC 4013); Apache Kafka, its Java clients and librdkafka take the bytes as
/// they are. What SASLprep leaves alone is the same to all of them; the rest is refused with a sentence instead of failing as a wrong password.
/// </summary>
public static class SaslText
{
    /// <summary>Why the text means one thing to some programs and another to others, or null where it does not.</summary>
    public static string? Fault(string text)
    {
        if (text.Length == 0)
        {
            return "is empty";
        }

        foreach (Rune rune in text.EnumerateRunes())
        {
            if (rune.IsAscii ? Rune.IsControl(rune) : !IsStable(rune))
            {
                return $"holds the character U+{rune.Value:X4}, which SASLprep (RFC 4013) forbids or changes and Kafka does not";
            }
        }

        return text.IsNormalized(NormalizationForm.FormKC) ? null : "is not in normal form KC, to which SASLprep (RFC 4013) would change it and Kafka does not";
    }

    /// <summary>Letters, marks of their own, digits and symbols. Not what is invisible, what combines, what has a simpler equivalent, and U+FFFD, which stands for broken text.</summary>
    private static bool IsStable(Rune rune) => rune != Rune.ReplacementChar && Rune.GetUnicodeCategory(rune) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse or UnicodeCategory.Surrogate or UnicodeCategory.OtherNotAssigned
        or UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.OtherNumber
        or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark);
}
