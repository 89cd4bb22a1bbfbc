using Microsoft.Win32.SafeHandles;

namespace Millrace.LoadTest.References;

/// <summary>The least that a log has to do: one CRC-32C over the bytes, and one write of them behind the others.</summary>
internal static class SequentialWrite
{
    public static uint Run(string path, byte[] bytes, int count)
    {
        uint checksum = 0;
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
        for (int number = 0; number < count; number++)
        {
            checksum ^= Checksum(bytes);
            RandomAccess.Write(file, bytes, (long)number * bytes.Length);
        }

        return checksum;
    }

    private static uint Checksum(byte[] bytes) => Millrace.Kafka.Records.Crc32C.Compute(bytes);
}
