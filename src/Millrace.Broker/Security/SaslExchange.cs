using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What one message of a client leads to.</summary>
/// <param name="Answer">What the client is sent.</param>
/// <param name="User">Who has logged in; null while that is not settled.</param>
/// <param name="Fault">Why nobody has, for the log; the client is told only that it failed.</param>
internal readonly record struct SaslStep(byte[] Answer, string? User, string? Fault)
{
    public static SaslStep Continue(string answer) => new(Encoding.UTF8.GetBytes(answer), null, null);

    public static SaslStep Done(string user, string answer = "") => new(Encoding.UTF8.GetBytes(answer), user, null);

    public static SaslStep Failed(string fault) => new([], null, fault);
}

/// <summary>The broker's half of one login. One use, one caller.</summary>
internal abstract class SaslExchange
{
    public abstract SaslStep Next(ReadOnlySpan<byte> message);

    public static SaslExchange Create(string mechanism, UserFile users, byte[] secret) => ScramHash.Find(mechanism) is { } hash
        ? new ScramExchange(hash, users, secret, Convert.ToBase64String(RandomNumberGenerator.GetBytes(ScramExchange.NonceByteCount)))
        : new PlainExchange(users, secret);
}

/// <summary>PLAIN (RFC 4616): <c>[identity] NUL user NUL password</c>, checked against what is kept for SCRAM.</summary>
internal sealed class PlainExchange(UserFile users, byte[] secret) : SaslExchange
{
    public const string Mechanism = "PLAIN";

    public override SaslStep Next(ReadOnlySpan<byte> message)
    {
        string[] parts = Encoding.UTF8.GetString(message).Split('\0');
        if (parts.Length != 3)
        {
            return SaslStep.Failed("its message has not three parts");
        }

        (string identity, string user, string password) = (parts[0], parts[1], parts[2]);
        if (identity.Length > 0 && identity != user)
        {
            return SaslStep.Failed($"'{user}' wants to act as '{identity}', and nobody may act as somebody else");
        }

        StoredScramKeys? known = users.Find(user, ScramHash.Sha256) ?? users.Find(user, ScramHash.Sha512);

        // As much work for who is not there: the time must not tell.
        StoredScramKeys checkedAgainst = known ?? ScramExchange.Nobody(ScramHash.Sha256, user, secret);
        byte[] salted = checkedAgainst.Hash.SaltedPassword(password, checkedAgainst.Salt, checkedAgainst.Iterations);
        bool isRight = CryptographicOperations.FixedTimeEquals(
            checkedAgainst.Hash.StoredKey(checkedAgainst.Hash.ClientKey(salted)), checkedAgainst.StoredKey);
        return known is null ? SaslStep.Failed($"there is no user '{user}'")
            : isRight ? SaslStep.Done(user)
            : SaslStep.Failed($"the password of '{user}' is wrong");
    }
}

/// <summary>SCRAM (RFC 5802).</summary>
internal sealed class ScramExchange(ScramHash hash, UserFile users, byte[] secret, string nonce) : SaslExchange
{
    public const int NonceByteCount = 24;

    /// <summary>What the CLI gives each user, and who is not there seems to have.</summary>
    public const int SaltByteCount = 24;

    private string _user = "";
    private StoredScramKeys? _credential;
    private StoredScramKeys? _checkedAgainst;
    private string _clientFirstBare = "";
    private string _serverFirst = "";
    private string _wholeNonce = "";
    private string _channelBinding = "";

    public override SaslStep Next(ReadOnlySpan<byte> message)
    {
        if (!ScramMessage.TryDecode(message, out string? text))
        {
            return SaslStep.Failed("its message is not UTF-8, or too long");
        }

        return _checkedAgainst is null ? First(text) : Final(text);
    }

    /// <summary>A credential that no password fits, the same for a name each time it is asked for.</summary>
    public static StoredScramKeys Nobody(ScramHash hash, string user, byte[] secret)
    {
        byte[] salt = HMACSHA256.HashData(secret, Encoding.UTF8.GetBytes(hash.Mechanism + ":" + user))[..SaltByteCount];
        return new StoredScramKeys(hash, salt, RandomNumberGenerator.GetBytes(hash.ByteCount), RandomNumberGenerator.GetBytes(hash.ByteCount), UserFile.DefaultIterations);
    }

    private SaslStep First(string text)
    {
        // gs2-cbind-flag "," [authzid] ","; what stands behind is signed.
        string[] parts = text.Split(',', 3);
        if (parts.Length != 3 || parts[0] is not ("n" or "y"))
        {
            return SaslStep.Failed("it wants channel binding, or its first message has no header");
        }

        if (!TryReadName(parts[2], out ScramMessage? message, out string? user, out string? fault))
        {
            return SaslStep.Failed(fault);
        }

        if (parts[1].Length > 0 && parts[1] != "a=" + message['n'])
        {
            return SaslStep.Failed($"'{user}' wants to act as somebody else");
        }

        _user = user;
        _credential = users.Find(user, hash);
        _checkedAgainst = _credential ?? Nobody(hash, user, secret);
        _clientFirstBare = parts[2];
        _wholeNonce = message['r'] + nonce;
        _channelBinding = "c=" + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{parts[0]},{parts[1]},"));
        _serverFirst = $"r={_wholeNonce},s={Convert.ToBase64String(_checkedAgainst.Salt)},i={_checkedAgainst.Iterations}";
        return SaslStep.Continue(_serverFirst);
    }

    private SaslStep Final(string text)
    {
        int proofStart = text.LastIndexOf(",p=", StringComparison.Ordinal);
        if (proofStart < 0 || !ScramMessage.TryParse(text, out ScramMessage? message, out _) || !message.TryGetBytes('p', out byte[]? proof) || proof.Length != hash.ByteCount)
        {
            return SaslStep.Failed("its last message has no proof");
        }

        string withoutProof = text[..proofStart];

        // Its end, as Apache Kafka looks at it: librdkafka before 2.6 puts its own nonce before the whole one a second time. What it sends is signed, whatever it is.
        if (message['r']?.EndsWith(_wholeNonce, StringComparison.Ordinal) != true || !withoutProof.StartsWith(_channelBinding + ",", StringComparison.Ordinal))
        {
            return SaslStep.Failed("its last message does not belong to its first one");
        }

        string signed = $"{_clientFirstBare},{_serverFirst},{withoutProof}";
        byte[] clientKey = ScramHash.Xor(proof, hash.Sign(_checkedAgainst!.StoredKey, signed));
        bool isRight = CryptographicOperations.FixedTimeEquals(hash.StoredKey(clientKey), _checkedAgainst.StoredKey);
        return _credential is null ? SaslStep.Failed($"there is no user '{_user}' for {hash.Mechanism}")
            : isRight ? SaslStep.Done(_user, $"v={Convert.ToBase64String(hash.Sign(_credential.ServerKey, signed))}")
            : SaslStep.Failed($"the password of '{_user}' is wrong");
    }

    private static bool TryReadName(
        string bare, [NotNullWhen(true)] out ScramMessage? message, [NotNullWhen(true)] out string? user, [NotNullWhen(false)] out string? fault)
    {
        user = null;
        if (!ScramMessage.TryParse(bare, out message, out fault))
        {
            return false;
        }

        user = message['n'] is { Length: > 0 } escaped ? ScramMessage.UnescapeName(escaped) : null;
        fault = user is null || message['r'] is not { Length: > 0 } ? "its first message has no name, or no nonce" : null;
        return fault is null;
    }
}
