namespace Millrace.Log;

/// <summary>Small files, read as a whole.</summary>
internal static class InspectedFile
{
    /// <summary>An index or a snapshot is never larger.</summary>
    private const int MaximumByteCount = 1 << 30;

    public static byte[] ReadAll(IStorage storage, string path)
    {
        using IStorageFile file = storage.Open(path, StorageOpenMode.Reading);
        if (file.Length > MaximumByteCount)
        {
            throw new IOException($"{path} has {file.Length} bytes; a file of that name never has more than {MaximumByteCount}.");
        }

        byte[] bytes = new byte[file.Length];
        return bytes[..file.Read(bytes, 0)];
    }
}
