using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Millrace;

/// <summary>Makes message ids. Ids of one process sort by time (UUID version 7, RFC 9562).</summary>
/// <param name="time">The clock.</param>
/// <param name="random">Chance; null for the system's. A seeded one makes the ids of a run repeatable.</param>
public sealed class MessageIdSource(TimeProvider time, Random? random = null)
{
    private readonly Lock _gate = new();

    /// <summary>A new id.</summary>
    public Guid Next()
    {
        // RFC 9562, 5.7: 48 bits of milliseconds, version, 12 random bits, variant, 62 random bits.
        Span<byte> bytes = stackalloc byte[16];
        if (random is null)
        {
            RandomNumberGenerator.Fill(bytes[6..]);
        }
        else
        {
            lock (_gate) random.NextBytes(bytes[6..]);
        }

        long milliseconds = time.GetUtcNow().ToUnixTimeMilliseconds();
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)(milliseconds >> 32));
        BinaryPrimitives.WriteUInt32BigEndian(bytes[2..], (uint)milliseconds);
        return Stamp(bytes, version: 7);
    }

    /// <summary>
    /// The id of a message that a handler writes: it follows from the endpoint, the handled message, and the type and key
    /// of what is written, counting those of one type and key. A handler that runs again, after a crash or elsewhere,
    /// gives its messages the same ids again, so that receivers recognise the repetition; the endpoint is part of it since
    /// several may handle one event.
    /// </summary>
    internal static Guid Derive(string endpoint, string causationId, string typeName, ReadOnlySpan<byte> key, int number)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        AppendPart(hash, Encoding.UTF8.GetBytes(endpoint));
        AppendPart(hash, Encoding.UTF8.GetBytes(causationId));
        AppendPart(hash, Encoding.UTF8.GetBytes(typeName));
        AppendPart(hash, key);
        Span<byte> count = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(count, number);
        AppendPart(hash, count);
        Span<byte> bytes = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(bytes);
        return Stamp(bytes[..16], version: 8);
    }

    // With its length before it, so that no two lists of parts give one text.
    private static void AppendPart(IncrementalHash hash, ReadOnlySpan<byte> part)
    {
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, part.Length);
        hash.AppendData(length);
        hash.AppendData(part);
    }

    private static Guid Stamp(Span<byte> bytes, int version)
    {
        bytes[6] = (byte)((bytes[6] & 0x0F) | (version << 4));
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new Guid(bytes, bigEndian: true);
    }
}
