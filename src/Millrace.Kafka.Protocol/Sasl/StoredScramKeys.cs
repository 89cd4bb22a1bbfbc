namespace Millrace.Kafka.Protocol;

/// <summary>What a server keeps of a password: enough to check who knows it and to prove that itself does, not enough to log in elsewhere (RFC 5802, section 2.2).</summary>
public sealed class StoredScramKeys(ScramHash hash, byte[] salt, byte[] storedKey, byte[] serverKey, int iterations)
{
    /// <summary>The least that RFC 7677 allows, and Kafka.</summary>
    public const int MinIterations = 4096;

    public ScramHash Hash { get; } = hash;
    public byte[] Salt { get; } = salt;
    public byte[] StoredKey { get; } = storedKey;
    public byte[] ServerKey { get; } = serverKey;
    public int Iterations { get; } = iterations;

    public static StoredScramKeys Create(ScramHash hash, string password, byte[] salt, int iterations)
    {
        byte[] salted = hash.SaltedPassword(password, salt, iterations);
        return new StoredScramKeys(hash, salt, hash.StoredKey(hash.ClientKey(salted)), hash.ServerKey(salted), iterations);
    }

    /// <summary>Nothing of the keys, whoever logs it.</summary>
    public override string ToString() => $"{Hash} with {Iterations} iterations";
}
