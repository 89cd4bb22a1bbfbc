namespace Millrace.Kafka.Records;

internal static class Zstd
{
    public static void Compress(ReadOnlySpan<byte> source, CodecBuffer output) =>
        throw new CodecUnavailableException("Zstd is not built in.");

    public static void Decompress(ReadOnlySpan<byte> source, CodecBuffer output) =>
        throw new CodecUnavailableException("Zstd is not built in.");
}
