using System.Buffers.Text;

namespace Millrace.Log;

/// <summary>The identity of a data directory, in Kafka's <c>meta.properties</c> with one key of ours.</summary>
internal sealed record MetaProperties(string ClusterId, Guid DirectoryId)
{
    private const string FormatKey = "millrace.format";
    private const string Format = "1";

    public static MetaProperties Create(Random random)
    {
        Span<byte> bytes = stackalloc byte[32];
        random.NextBytes(bytes);
        return new MetaProperties(Base64Url.EncodeToString(bytes[..16]), new Guid(bytes[16..]));
    }

    public string ToText() =>
        $"version=1\nnode.id=1\ncluster.id={ClusterId}\ndirectory.id={TopicIds.ToText(DirectoryId)}\n{FormatKey}={Format}\n";

    /// <exception cref="LogDirectoryException">It is not ours, or newer than this program.</exception>
    public static MetaProperties Parse(string text, string directory)
    {
        Dictionary<string, string> values = [];
        foreach (string line in text.Split('\n'))
        {
            int equals = line.IndexOf('=');
            if (equals > 0 && line[0] != '#')
            {
                values[line[..equals].Trim()] = line[(equals + 1)..].Trim();
            }
        }

        string path = $"{directory}/{FileNames.MetaProperties}";
        if (!values.TryGetValue(FormatKey, out string? format))
        {
            throw new LogDirectoryException(
                LogDirectoryFailure.Foreign,
                $"{path} is not Millrace's: it has no line '{FormatKey}'. Choose another data directory.");
        }

        if (format != Format)
        {
            throw new LogDirectoryException(
                LogDirectoryFailure.UnsupportedVersion,
                $"{path} has format {format}; this version reads format {Format}. Start the version that wrote it.");
        }

        if (!values.TryGetValue("cluster.id", out string? clusterId) || clusterId.Length == 0
            || !values.TryGetValue("directory.id", out string? directoryId) || !TopicIds.TryParse(directoryId, out Guid id))
        {
            throw new LogDirectoryException(
                LogDirectoryFailure.Foreign,
                $"{path} lacks 'cluster.id' or 'directory.id'. Restore the file from a copy.");
        }

        return new MetaProperties(clusterId, id);
    }
}
