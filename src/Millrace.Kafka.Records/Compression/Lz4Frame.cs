namespace Millrace.Kafka.Records;

internal static class Lz4Frame
{
    public static void Compress(ReadOnlySpan<byte> source, CodecBuffer output) =>
        throw new CodecUnavailableException("Lz4Frame is not built in.");

    public static void Decompress(ReadOnlySpan<byte> source, CodecBuffer output) =>
        throw new CodecUnavailableException("Lz4Frame is not built in.");
}
