namespace Millrace.Kafka;

/// <summary>CRC-32 of ISO 3309 (reflected polynomial EDB88320), which zlib has and librdkafka partitions by. Not the CRC-32C of record batches.</summary>
internal static class Crc32
{
    private const uint Polynomial = 0xEDB88320;

    private static readonly uint[] Table = CreateTable();

    public static uint Hash(ReadOnlySpan<byte> bytes)
    {
        uint remainder = uint.MaxValue;
        foreach (byte value in bytes)
        {
            remainder = Table[(byte)(remainder ^ value)] ^ (remainder >> 8);
        }

        return ~remainder;
    }

    private static uint[] CreateTable()
    {
        const int bitsPerByte = 8;
        var table = new uint[1 << bitsPerByte];
        for (uint value = 0; value < table.Length; value++)
        {
            uint remainder = value;
            for (int bit = 0; bit < bitsPerByte; bit++)
            {
                remainder = (remainder & 1) == 0 ? remainder >> 1 : (remainder >> 1) ^ Polynomial;
            }

            table[value] = remainder;
        }

        return table;
    }
}
