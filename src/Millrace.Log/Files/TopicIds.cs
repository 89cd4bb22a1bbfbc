using System.Buffers.Text;

namespace Millrace.Log;

/// <summary>
/// Kafka writes a topic id as 22 characters of URL-safe base64 over its 16 bytes in network order, and keeps it beside the log in
/// <c>partition.metadata</c>.
/// </summary>
internal static class TopicIds
{
    private const int ByteCount = 16;
    private const string VersionLine = "version: 0";
    private const string TopicIdKey = "topic_id: ";

    public static string ToText(Guid id)
    {
        Span<byte> bytes = stackalloc byte[ByteCount];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        return Base64Url.EncodeToString(bytes);
    }

    public static bool TryParse(ReadOnlySpan<char> text, out Guid id)
    {
        id = default;
        Span<byte> bytes = stackalloc byte[ByteCount];
        if (text.Length != 22 || !Base64Url.IsValid(text) || !Base64Url.TryDecodeFromChars(text, bytes, out int count) || count != ByteCount)
        {
            return false;
        }

        id = new Guid(bytes, bigEndian: true);
        return true;
    }

    public static string FormatMetadata(Guid topicId) => $"{VersionLine}\n{TopicIdKey}{ToText(topicId)}\n";

    public static bool TryParseMetadata(string text, out Guid topicId)
    {
        topicId = default;
        string[] lines = text.Split('\n');
        return lines.Length >= 3 && lines[0] == VersionLine && lines[1].StartsWith(TopicIdKey, StringComparison.Ordinal)
            && TryParse(lines[1].AsSpan(TopicIdKey.Length), out topicId);
    }
}
