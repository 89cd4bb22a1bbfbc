using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Millrace;

/// <summary>Numbers and ids derived from a text: the same in every process and on every replay.</summary>
internal static class StableHash
{
    public static int Of(string seed, int index) => BinaryPrimitives.ReadInt32BigEndian(Compute(seed, index));

    public static Guid ToGuid(string seed, int index)
    {
        byte[] hash = Compute(seed, index);

        // RFC 9562, version 8: the content is ours, version and variant say so.
        hash[6] = (byte)((hash[6] & 0x0F) | 0x80);
        hash[8] = (byte)((hash[8] & 0x3F) | 0x80);
        return new Guid(hash.AsSpan(0, 16), bigEndian: true);
    }

    private static byte[] Compute(string seed, int index)
    {
        byte[] text = Encoding.UTF8.GetBytes(seed);
        byte[] input = new byte[text.Length + sizeof(int)];
        text.CopyTo(input, 0);
        BinaryPrimitives.WriteInt32BigEndian(input.AsSpan(text.Length), index);
        return SHA256.HashData(input);
    }
}
