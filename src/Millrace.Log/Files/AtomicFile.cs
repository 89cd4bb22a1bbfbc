using System.Text;

namespace Millrace.Log;

/// <summary>Small text files that are replaced as a whole: after a crash there is the old content or the new, never a mixture.</summary>
public static class AtomicFile
{
    public const string TemporarySuffix = ".tmp";

    /// <summary>A text file larger than this is none of ours.</summary>
    private const int MaximumByteCount = 64 << 20;

    /// <summary>Durable on return, the directory's entry included.</summary>
    public static void Write(IStorage storage, string directory, string name, string content)
    {
        string path = $"{directory}/{name}";
        string temporary = path + TemporarySuffix;
        using (IStorageFile file = storage.Open(temporary, StorageOpenMode.Create))
        {
            file.Write(Encoding.UTF8.GetBytes(content), 0);

            // Before the rename: a name that points to bytes which are not there yet would be an empty file after a power loss.
            file.SyncData();
        }

        storage.Rename(temporary, path);
        storage.SyncDirectory(directory);
    }

    /// <summary>
    /// Writes what a file held before a <see cref="Write"/> that failed: its name may be the new content's already, which a start would read. False if the disk refuses that too.
    /// </summary>
    public static bool TryRestore(IStorage storage, string directory, string name, string content)
    {
        try
        {
            Write(storage, directory, name, content);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Null if there is no such file.</summary>
    public static string? TryRead(IStorage storage, string directory, string name)
    {
        string path = $"{directory}/{name}";
        if (!storage.FileExists(path))
        {
            return null;
        }

        using IStorageFile file = storage.Open(path, StorageOpenMode.Reading);
        if (file.Length > MaximumByteCount)
        {
            throw new IOException($"{path} has {file.Length} bytes; a file of that name never has more than {MaximumByteCount}.");
        }

        byte[] bytes = new byte[file.Length];
        int count = file.Read(bytes, 0);
        return Encoding.UTF8.GetString(bytes, 0, count);
    }
}
