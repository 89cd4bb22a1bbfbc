using System.Globalization;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// Which topics are being deleted, in one file of the data directory. A topic stands in it from before its first partition goes until what groups committed for it is
/// gone as well; so a crash in between leaves no half of a topic, and nobody finds the old offsets in a new topic of the same name.
/// </summary>
/// <remarks>
/// <code>
/// 0                                         version
/// orders 9b2c5d0e1f004b0f8a7c1d2e3f405162   topic and its id
/// </code>
/// Not thread-safe: the catalog's lock guards it.
/// </remarks>
internal sealed class TopicDeletions
{
    public const string FileName = "topic-deletions";

    private const string Version = "0";

    private readonly IStorage _storage;
    private readonly string _directory;
    private Dictionary<string, Guid> _idByName;

    private TopicDeletions(IStorage storage, string directory, Dictionary<string, Guid> idByName)
    {
        _storage = storage;
        _directory = directory;
        _idByName = idByName;
    }

    public IReadOnlyDictionary<string, Guid> All => _idByName;

    /// <exception cref="BrokerStartException">The file is there and says nothing sensible.</exception>
    public static TopicDeletions Open(IStorage storage, string directory)
    {
        string? content;
        try
        {
            content = AtomicFile.TryRead(storage, directory, FileName);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BrokerStartException(BrokerStartFailure.DataDirectory, $"{directory}/{FileName} cannot be read: {failure.Message}", failure);
        }

        return new TopicDeletions(storage, directory, content is null ? new(StringComparer.Ordinal) : Parse(directory, content));
    }

    /// <summary>Whether the next start may delete this topic.</summary>
    public bool HasBegun(string name, Guid id) => _idByName.TryGetValue(name, out Guid begun) && begun == id;

    /// <summary>Durable on return.</summary>
    /// <exception cref="IOException">The disk refused. <see cref="HasBegun"/> says whether it was nevertheless begun, which is not durable then.</exception>
    public void Begin(string name, Guid id)
    {
        var more = new Dictionary<string, Guid>(_idByName, StringComparer.Ordinal) { [name] = id };
        try
        {
            AtomicFile.Write(_storage, _directory, FileName, Format(more));
            _idByName = more;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A topic that is served on and stands in the file would lose at the next start what it acknowledges until then.
            if (!AtomicFile.TryRestore(_storage, _directory, FileName, Format(_idByName)))
            {
                _idByName = more;
            }

            throw;
        }
    }

    /// <summary>Durable on return.</summary>
    /// <exception cref="IOException">The disk refused. The name stays taken until a later call frees it, or the next start.</exception>
    public void End(string name)
    {
        var rest = new Dictionary<string, Guid>(_idByName, StringComparer.Ordinal);
        if (rest.Remove(name))
        {
            AtomicFile.Write(_storage, _directory, FileName, Format(rest));
            _idByName = rest;
        }
    }

    private static string Format(Dictionary<string, Guid> idByName) =>
        $"{Version}\n{string.Concat(idByName.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key} {pair.Value:N}\n"))}";

    private static Dictionary<string, Guid> Parse(string directory, string content)
    {
        string[] lines = content.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var idByName = new Dictionary<string, Guid>(StringComparer.Ordinal);
        bool isSensible = lines is [Version, ..];
        foreach (string line in lines.Skip(1))
        {
            string[] parts = line.Split(' ');
            Guid id = Guid.Empty;
            isSensible &= parts.Length == 2 && Guid.TryParseExact(parts[1], "N", out id) && idByName.TryAdd(parts[0], id);
        }

        return isSensible
            ? idByName
            : throw new BrokerStartException(
                BrokerStartFailure.DataDirectory,
                string.Create(CultureInfo.InvariantCulture, $"{directory}/{FileName} does not hold a version, and topics with their ids. Restore it from a copy; or delete it, and delete again what was being deleted."));
    }
}
