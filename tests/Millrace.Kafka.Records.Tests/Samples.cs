using System.Text;

namespace Millrace.Kafka.Records.Tests;

internal static class Samples
{
    public static readonly IReadOnlyList<CompressionCodec> Codecs =
    [
        CompressionCodec.None, CompressionCodec.Gzip, CompressionCodec.Snappy, CompressionCodec.Lz4, CompressionCodec.Zstd,
    ];

    public static TheoryData<CompressionCodec> EveryCodec => [.. Codecs];

    public static TheoryData<CompressionCodec> EveryCompressingCodec => [.. Codecs.Skip(1)];

    /// <summary>Two records, one with a header.</summary>
    public static byte[] Batch(CompressionCodec codec = CompressionCodec.None)
    {
        var builder = new RecordBatchBuilder(codec);
        builder.Append(1_000, Bytes("key"), Bytes("value"), [new RecordHeader("header", Bytes("content"))]);
        builder.Append(1_001, Bytes("key"), Bytes("value"));
        return builder.Build().ToArray();
    }

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static string? Text(ReadOnlyMemory<byte>? bytes) => bytes is { } present ? Encoding.UTF8.GetString(present.Span) : null;

    /// <summary>Words out of a small vocabulary: compresses, with matches near and far.</summary>
    public static byte[] Prose(int byteCount, int seed = 1)
    {
        string[] words = ["order", "payment", "stock", "shipping", "reserved", "charged", "refunded", "4711", "\n", " the ", "aaaaaaaaaaaaaaaaaaaaaaaa"];
        var random = new Random(seed);
        var text = new StringBuilder(byteCount + 32);
        while (text.Length < byteCount)
        {
            text.Append(words[random.Next(words.Length)]).Append((char)random.Next('a', 'z'));
        }

        return Bytes(text.ToString())[..byteCount];
    }

    public static byte[] Noise(int byteCount, int seed = 1)
    {
        byte[] bytes = new byte[byteCount];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
