using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// The users who may log in, in a file that keeps no password: salts and keys of SCRAM (RFC 5802), of which a password is not to be had but by guessing. Let nobody read it who
/// need not: guessing goes on for as long as somebody likes.
/// </summary>
/// <remarks>
/// <code>
/// # a comment
/// alice SCRAM-SHA-256 iterations=8192 salt=BASE64 stored_key=BASE64 server_key=BASE64
/// </code>
/// A name is percent-encoded (RFC 3986). A line for each user and mechanism; who is there for one mechanism can log in by that one and by PLAIN.
/// </remarks>
public sealed class UserFile
{
    /// <summary>What passwords are hashed with, unless another number is given: Kafka's own default for <c>kafka-configs --alter --add-config 'SCRAM-SHA-256=...'</c> is 4096.</summary>
    public const int DefaultIterations = 8192;

    /// <summary>Each login by PLAIN costs the broker so many rounds.</summary>
    public const int MaxIterations = 1_000_000;

    /// <summary>A larger file is not read.</summary>
    public const int MaxByteCount = 64 * 1024 * 1024;

    private const string Heading = "# Users of a Millrace broker. It holds no password; keep it secret all the same. Written by 'millrace user'.";

    private readonly SortedDictionary<string, SortedDictionary<string, StoredScramKeys>> _byUser = new(StringComparer.Ordinal);

    /// <summary>The names, sorted, each with its mechanisms.</summary>
    public IEnumerable<(string User, IReadOnlyCollection<string> Mechanisms)> Users =>
        _byUser.Select(static user => (user.Key, (IReadOnlyCollection<string>)user.Value.Keys));

    /// <summary>What is kept of a user for a mechanism; null where nothing is.</summary>
    public StoredScramKeys? Find(string user, ScramHash hash)
    {
        ArgumentNullException.ThrowIfNull(hash);
        return _byUser.TryGetValue(user, out SortedDictionary<string, StoredScramKeys>? credentials) ? credentials.GetValueOrDefault(hash.Mechanism) : null;
    }

    /// <summary>Adds a user, or gives it another password for this mechanism.</summary>
    public void Set(string user, StoredScramKeys credential)
    {
        ArgumentNullException.ThrowIfNull(credential);
        if (!_byUser.TryGetValue(user, out SortedDictionary<string, StoredScramKeys>? credentials))
        {
            credentials = new SortedDictionary<string, StoredScramKeys>(StringComparer.Ordinal);
            _byUser.Add(user, credentials);
        }

        credentials[credential.Hash.Mechanism] = credential;
    }

    /// <summary>False: there was no such user.</summary>
    public bool Remove(string user) => _byUser.Remove(user);

    /// <summary>Reads the lines of a file.</summary>
    /// <param name="error">Which line is wrong and how; nothing of what is in it.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out UserFile? users, [NotNullWhen(false)] out string? error)
    {
        ArgumentNullException.ThrowIfNull(text);
        users = null;
        error = null;
        var file = new UserFile();
        int number = 0;
        foreach (string line in text.Split('\n').Select(static line => line.Trim()))
        {
            number++;
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            error = file.AddLine(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            if (error is not null)
            {
                error = $"line {number} {error}";
                return false;
            }
        }

        users = file;
        return true;
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="IOException">It cannot be read, or holds something else.</exception>
    public static UserFile Read(IStorage storage, string path) =>
        TryParse(Encoding.UTF8.GetString(ReadBytes(storage, path)), out UserFile? users, out string? error)
            ? users
            : throw new IOException($"The users file {path} cannot be read: {error}.");

    /// <summary>Writes a file in one step: who reads it meanwhile finds the old one or the new one. Survives the power.</summary>
    /// <param name="storage">Where the file is.</param>
    /// <param name="path">Its path.</param>
    /// <param name="keepPrivate">Is given the path while nothing is in the file yet.</param>
    public void Write(IStorage storage, string path, Action<string>? keepPrivate = null)
    {
        ArgumentNullException.ThrowIfNull(storage);
        string written = path + ".new";
        using (IStorageFile file = storage.Open(written, StorageOpenMode.Create))
        {
            keepPrivate?.Invoke(written);
            file.Write(Encoding.UTF8.GetBytes(ToText()), position: 0);
            file.SyncData();
        }

        storage.Rename(written, path);
        storage.SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    internal static byte[] ReadBytes(IStorage storage, string path)
    {
        using IStorageFile file = storage.Open(path, StorageOpenMode.Reading);
        if (file.Length > MaxByteCount)
        {
            throw new IOException($"The users file {path} has {file.Length} bytes; at most {MaxByteCount} are read.");
        }

        byte[] bytes = new byte[file.Length];
        int byteCount = file.Read(bytes, position: 0);
        return bytes[..byteCount];
    }

    private string ToText()
    {
        var text = new StringBuilder(Heading).Append('\n');
        foreach ((string user, SortedDictionary<string, StoredScramKeys> credentials) in _byUser)
        {
            foreach (StoredScramKeys credential in credentials.Values)
            {
                text.Append(CultureInfo.InvariantCulture, $"{Uri.EscapeDataString(user)} {credential.Hash.Mechanism} iterations={credential.Iterations} ")
                    .Append(CultureInfo.InvariantCulture, $"salt={Convert.ToBase64String(credential.Salt)} stored_key={Convert.ToBase64String(credential.StoredKey)} ")
                    .Append(CultureInfo.InvariantCulture, $"server_key={Convert.ToBase64String(credential.ServerKey)}\n");
            }
        }

        return text.ToString();
    }

    private string? AddLine(string[] parts)
    {
        if (parts.Length != 6 || ScramHash.Find(parts[1]) is not { } hash)
        {
            return "is not of the form NAME SCRAM-SHA-256|SCRAM-SHA-512 iterations=N salt=... stored_key=... server_key=...";
        }

        byte[] salt = Bytes(parts[3], "salt=");
        byte[] storedKey = Bytes(parts[4], "stored_key=");
        byte[] serverKey = Bytes(parts[5], "server_key=");
        bool hasIterations = int.TryParse(Value(parts[2], "iterations="), NumberStyles.None, CultureInfo.InvariantCulture, out int iterations)
            && iterations is >= StoredScramKeys.MinIterations and <= MaxIterations;
        if (!hasIterations || salt.Length == 0 || storedKey.Length != hash.ByteCount || serverKey.Length != hash.ByteCount)
        {
            return $"has iterations outside of {StoredScramKeys.MinIterations} to {MaxIterations}, or a salt or key that is none of {hash.Mechanism}";
        }

        string user = Uri.UnescapeDataString(parts[0]);
        if (Find(user, hash) is not null)
        {
            return $"names '{user}' for {hash.Mechanism} a second time";
        }

        Set(user, new StoredScramKeys(hash, salt, storedKey, serverKey, iterations));
        return null;
    }

    private static string Value(string part, string name) => part.StartsWith(name, StringComparison.Ordinal) ? part[name.Length..] : "";

    private static byte[] Bytes(string part, string name)
    {
        string text = Value(part, name);
        byte[] buffer = new byte[text.Length];
        return Convert.TryFromBase64String(text, buffer, out int byteCount) ? buffer[..byteCount] : [];
    }
}
