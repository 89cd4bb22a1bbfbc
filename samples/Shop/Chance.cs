using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Shop;

/// <summary>Chance that a seed and a name decide: the same on every run, and in every process.</summary>
internal static class Chance
{
    /// <summary>A number from 0 up to but not including 1.</summary>
    public static double Of(int seed, string name)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{seed}/{name}")), hash);
        return (BinaryPrimitives.ReadUInt64BigEndian(hash) >> 11) * (1.0 / (1UL << 53));
    }

    /// <summary>A whole number from 0 up to but not including <paramref name="count"/>.</summary>
    public static int Pick(int seed, string name, int count) => (int)(Of(seed, name) * count);
}
