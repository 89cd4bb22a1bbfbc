using System.Security.Cryptography;
using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>SCRAM (RFC 5802): proves that the client knows the password, and has the broker prove that it does.</summary>
/// <param name="hash">SHA-256 or SHA-512.</param>
/// <param name="user">Who logs in.</param>
/// <param name="password">The password, which leaves in no message.</param>
/// <param name="nonce">Chance of the client's, printable and without a comma; never used twice.</param>
internal sealed class ScramClient(ScramHash hash, string user, string password, string nonce) : SaslClient(hash.Mechanism)
{
    /// <summary>More rounds of the slow hash than this are not done for whoever asks for them: about a second.</summary>
    public const int MaxIterations = 1_000_000;

    private string _firstBare = "";
    private byte[]? _expectedSignature;
    private State _state = State.Unused;

    private enum State
    {
        Unused,
        AwaitsSalt,
        AwaitsSignature,
        Complete,
    }

    public override string User => user;

    public override byte[] Begin()
    {
        _state = State.AwaitsSalt;
        _firstBare = $"n={ScramMessage.EscapeName(user)},r={nonce}";
        return Encoding.UTF8.GetBytes(ScramMessage.Gs2Header + _firstBare);
    }

    public override byte[]? Next(ReadOnlySpan<byte> challenge)
    {
        if (!ScramMessage.TryDecode(challenge, out string? text))
        {
            throw new SaslFaultException("its message is not UTF-8, or too long");
        }

        if (!ScramMessage.TryParse(text, out ScramMessage? message, out string? error))
        {
            throw new SaslFaultException($"its message cannot be read, {error}");
        }

        switch (_state)
        {
            case State.AwaitsSalt:
                return Prove(message);
            case State.AwaitsSignature:
                Check(message);
                return null;
            default:
                throw new SaslFaultException("it sent a message where none was due");
        }
    }

    private byte[] Prove(ScramMessage first)
    {
        if (first['e'] is { } refusal)
        {
            throw new SaslFaultException($"it refuses: {refusal}");
        }

        if (first['r'] is not { } whole || !whole.StartsWith(nonce, StringComparison.Ordinal) || whole.Length == nonce.Length)
        {
            // A replayed or foreign answer, or one to which the broker added no chance of its own.
            throw new SaslFaultException("its nonce does not continue the client's");
        }

        if (!first.TryGetBytes('s', out byte[]? salt))
        {
            throw new SaslFaultException("its salt cannot be read");
        }

        if (!first.TryGetNumber('i', out int iterations) || iterations < StoredScramKeys.MinIterations || iterations > MaxIterations)
        {
            throw new SaslFaultException(
                $"it wants {first['i'] ?? "an unnamed number of"} iterations, where {StoredScramKeys.MinIterations} to {MaxIterations} are done: fewer protect a password badly");
        }

        string finalWithoutProof = $"{ScramMessage.ChannelBinding},r={whole}";
        string signed = $"{_firstBare},{first.Text},{finalWithoutProof}";
        byte[] salted = hash.SaltedPassword(password, salt, iterations);
        byte[] clientKey = hash.ClientKey(salted);
        byte[] proof = ScramHash.Xor(clientKey, hash.Sign(hash.StoredKey(clientKey), signed));
        _expectedSignature = hash.Sign(hash.ServerKey(salted), signed);
        _state = State.AwaitsSignature;
        CryptographicOperations.ZeroMemory(salted);
        CryptographicOperations.ZeroMemory(clientKey);
        return Encoding.UTF8.GetBytes($"{finalWithoutProof},p={Convert.ToBase64String(proof)}");
    }

    private void Check(ScramMessage final)
    {
        if (final['e'] is { } refusal)
        {
            throw new SaslFaultException($"it refuses: {refusal}");
        }

        if (!final.TryGetBytes('v', out byte[]? signature) || !CryptographicOperations.FixedTimeEquals(signature, _expectedSignature))
        {
            throw new SaslFaultException("its signature is wrong: it does not know the password itself, and may be somebody else who pretends to be the broker");
        }

        _state = State.Complete;
    }
}
