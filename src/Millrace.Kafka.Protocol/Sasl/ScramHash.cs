using System.Security.Cryptography;
using System.Text;

namespace Millrace.Kafka.Protocol;

/// <summary>The functions of SCRAM (RFC 5802) over one hash: SHA-256 (RFC 7677) or SHA-512.</summary>
public sealed class ScramHash
{
    public static readonly ScramHash Sha256 = new("SCRAM-SHA-256", HashAlgorithmName.SHA256, SHA256.HashSizeInBytes);
    public static readonly ScramHash Sha512 = new("SCRAM-SHA-512", HashAlgorithmName.SHA512, SHA512.HashSizeInBytes);

    private ScramHash(string mechanism, HashAlgorithmName name, int byteCount)
    {
        Mechanism = mechanism;
        Name = name;
        ByteCount = byteCount;
    }

    /// <summary>The mechanism's name on the wire.</summary>
    public string Mechanism { get; }

    /// <summary>How long keys, signatures and proofs are.</summary>
    public int ByteCount { get; }

    private HashAlgorithmName Name { get; }

    /// <summary>The hash of a mechanism by its name on the wire; null for one that is not SCRAM.</summary>
    public static ScramHash? Find(string mechanism) => mechanism switch
    {
        "SCRAM-SHA-256" => Sha256,
        "SCRAM-SHA-512" => Sha512,
        _ => null,
    };

    /// <summary><c>Hi(password, salt, i)</c>, the part that is slow on purpose.</summary>
    public byte[] SaltedPassword(string password, ReadOnlySpan<byte> salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt, iterations, Name, ByteCount);

    public byte[] ClientKey(byte[] saltedPassword) => Sign(saltedPassword, "Client Key");

    public byte[] ServerKey(byte[] saltedPassword) => Sign(saltedPassword, "Server Key");

    /// <summary>What a server keeps instead of the client's key.</summary>
    public byte[] StoredKey(ReadOnlySpan<byte> clientKey) => CryptographicOperations.HashData(Name, clientKey);

    public byte[] Sign(byte[] key, string text) => CryptographicOperations.HmacData(Name, key, Encoding.UTF8.GetBytes(text));

    /// <summary>A proof of a key, or a key of a proof: one of both is the other, by a signature that only who has the key (or its hash) can make.</summary>
    public static byte[] Xor(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        byte[] result = new byte[left.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = (byte)(left[i] ^ right[i]);
        }

        return result;
    }

    public override string ToString() => Mechanism;
}
