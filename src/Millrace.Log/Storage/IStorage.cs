using Microsoft.Win32.SafeHandles;

namespace Millrace.Log;

/// <summary>How a file is opened.</summary>
public enum StorageOpenMode
{
    /// <summary>The file must be there.</summary>
    Existing,

    /// <summary>The file must be there, and is only read.</summary>
    Reading,

    /// <summary>The file is made, and emptied if it was there.</summary>
    Create,
}

/// <summary>An entry of a directory.</summary>
/// <param name="ByteCount">The length of a file.</param>
public readonly record struct StorageEntry(string Name, bool IsDirectory, long ByteCount = 0);

/// <summary>
/// The disk, as the log sees it. Names are paths with '/' between their parts. Every method throws <see cref="IOException"/> or
/// <see cref="UnauthorizedAccessException"/> when the disk refuses.
/// </summary>
/// <remarks>
/// Nothing is promised to survive the power but what was synced: the bytes and the length of a file by <see cref="IStorageFile.SyncData"/>,
/// the names in a directory (made, renamed, deleted) by <see cref="SyncDirectory"/> on that directory. Both are needed for a new file.
/// </remarks>
public interface IStorage
{
    /// <summary>
    /// Names the time since the machine has power: what was written in it is there until it ends, synced or not. Null where nobody can tell; then
    /// every process is taken to begin after a loss of power.
    /// </summary>
    string? BootId => null;

    /// <summary>How many threads it serves faster than one; 1 where the order of operations decides what they do.</summary>
    int UsefulThreadCount { get; }

    IStorageFile Open(string path, StorageOpenMode mode);

    /// <summary>Whether a file is there.</summary>
    /// <exception cref="IOException">The disk cannot tell.</exception>
    bool FileExists(string path);

    /// <summary>Whether a directory is there.</summary>
    /// <exception cref="IOException">The disk cannot tell.</exception>
    bool DirectoryExists(string path);

    /// <summary>Makes one directory, whose parent must be there. Nothing happens if it is there already.</summary>
    void CreateDirectory(string path);

    /// <summary>Deletes a file. Nothing happens if it is not there.</summary>
    void DeleteFile(string path);

    /// <summary>Deletes an empty directory.</summary>
    void DeleteDirectory(string path);

    /// <summary>
    /// Renames a file or a directory within its parent, in one step. A file of that name is replaced by a file; a directory of that name may not be
    /// there.
    /// </summary>
    void Rename(string from, string to);

    /// <summary>What is in the directory, sorted by name.</summary>
    IReadOnlyList<StorageEntry> List(string path);

    /// <summary>After this the names in the directory survive the power.</summary>
    void SyncDirectory(string path);

    /// <summary>Takes an exclusive lock that ends with the process, whichever way it ends. Null if somebody has it.</summary>
    IDisposable? TryLock(string path);
}

/// <summary>An open file. Reads and writes may run at the same time on several threads.</summary>
public interface IStorageFile : IDisposable
{
    string Path { get; }

    /// <summary>The operating system's own, for calls that take one; null where there is none. Valid until the file is disposed.</summary>
    SafeFileHandle? Handle => null;

    long Length { get; }

    /// <summary>Whether a read of these bytes would end without waiting for the disk, as far as can be told. True where it cannot.</summary>
    bool IsInMemory(long position, int byteCount) => true;

    /// <summary>Fills <paramref name="buffer"/> from <paramref name="position"/>; returns fewer bytes only where the file ends.</summary>
    int Read(Span<byte> buffer, long position);

    /// <summary>Writes all bytes, or throws; then any number of them may be in the file.</summary>
    void Write(ReadOnlySpan<byte> bytes, long position);

    /// <summary>Cuts the file, or extends it with zeros.</summary>
    void SetLength(long length);

    /// <summary>
    /// After this the bytes and the length survive the power. After it threw, they may be neither on the disk nor due to be written:
    /// calling it again proves nothing.
    /// </summary>
    void SyncData();
}
