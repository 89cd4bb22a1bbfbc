#pragma warning disable RS0030 // the seam itself: the one place where files are touched
using System.IO.Enumeration;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.Log;

/// <summary>
/// Storage on real files. Linux: fdatasync for data, fsync for directories, flock for the lock. Elsewhere the runtime's own flush,
/// and directories are not synced.
/// </summary>
public sealed class FileStorage : IStorage
{
    private const string BootIdPath = "/proc/sys/kernel/random/boot_id";

    private static readonly EnumerationOptions AllEntries = new() { AttributesToSkip = FileAttributes.None, ReturnSpecialDirectories = false };

    /// <summary>Linux makes one up each time it starts.</summary>
    public string? BootId => OperatingSystem.IsLinux() && File.Exists(BootIdPath) ? File.ReadAllText(BootIdPath).Trim() : null;

    /// <summary>More than there are processors: most of the time they wait for the disk, which takes several syncs together.</summary>
    public int UsefulThreadCount => 32;

    public IStorageFile Open(string path, StorageOpenMode mode) => new RealFile(path, mode);

    public bool FileExists(string path) => AttributesOf(path) is { } attributes && !attributes.HasFlag(FileAttributes.Directory);

    public bool DirectoryExists(string path) => AttributesOf(path) is { } attributes && attributes.HasFlag(FileAttributes.Directory);

    public void CreateDirectory(string path) => Directory.CreateDirectory(path);

    public void DeleteFile(string path) => File.Delete(path);

    public void DeleteDirectory(string path) => Directory.Delete(path, recursive: false);

    public void Rename(string from, string to)
    {
        if (Directory.Exists(from))
        {
            Directory.Move(from, to);
        }
        else
        {
            File.Move(from, to, overwrite: true);
        }
    }

    public IReadOnlyList<StorageEntry> List(string path)
    {
        List<StorageEntry> entries =
        [
            .. new FileSystemEnumerable<StorageEntry>(
                path,
                static (ref entry) => new StorageEntry(entry.FileName.ToString(), entry.IsDirectory, entry.IsDirectory ? 0 : entry.Length),
                AllEntries),
        ];
        entries.Sort(static (left, right) => string.CompareOrdinal(left.Name, right.Name));
        return entries;
    }

    public void SyncDirectory(string path)
    {
        if (OperatingSystem.IsLinux())
        {
            LinuxFiles.SyncDirectory(path);
        }
    }

    public IDisposable? TryLock(string path)
    {
        SafeFileHandle handle;
        try
        {
            // The runtime takes an exclusive flock for FileShare.None.
            handle = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception) when (IsHeldElsewhere(exception))
        {
            return null;
        }

        // An environment switch turns the runtime's own locking off; ours it does not.
        if (OperatingSystem.IsLinux() && !LinuxFiles.TryLock(handle))
        {
            handle.Dispose();
            return null;
        }

        return handle;
    }

    private static bool IsHeldElsewhere(IOException exception)
    {
        const int linuxWouldBlock = 11;
        const int macWouldBlock = 35;
        const int windowsSharingViolation = unchecked((int)0x80070020);
        return exception.HResult is linuxWouldBlock or macWouldBlock or windowsSharingViolation;
    }

    /// <summary>Null if nothing is there, and for what is no name of a file. That the disk cannot tell is another thing: <see cref="File.Exists"/> does not know it.</summary>
    private static FileAttributes? AttributesOf(string path)
    {
        try
        {
            return File.GetAttributes(path);
        }
        catch (Exception absent) when (absent is FileNotFoundException or DirectoryNotFoundException or ArgumentException)
        {
            return null;
        }
    }

    private sealed class RealFile : IStorageFile
    {
        private readonly SafeFileHandle _handle;

        public RealFile(string path, StorageOpenMode mode)
        {
            Path = path;
            FileMode fileMode = mode == StorageOpenMode.Create ? FileMode.Create : FileMode.Open;
            FileAccess access = mode == StorageOpenMode.Reading ? FileAccess.Read : FileAccess.ReadWrite;
            _handle = File.OpenHandle(path, fileMode, access, FileShare.ReadWrite | FileShare.Delete);
        }

        public string Path { get; }

        public SafeFileHandle? Handle => _handle;

        public long Length => RandomAccess.GetLength(_handle);

        /// <summary>Looks at both ends: what is read ahead or was written is there as a whole.</summary>
        public bool IsInMemory(long position, int byteCount) =>
            !OperatingSystem.IsLinux()
            || (LinuxFiles.IsByteInMemory(_handle, position) && LinuxFiles.IsByteInMemory(_handle, position + Math.Max(byteCount - 1, 0)));

        public int Read(Span<byte> buffer, long position)
        {
            int total = 0;
            while (total < buffer.Length)
            {
                int count = RandomAccess.Read(_handle, buffer[total..], position + total);
                if (count == 0)
                {
                    break;
                }

                total += count;
            }

            return total;
        }

        public void Write(ReadOnlySpan<byte> bytes, long position) => RandomAccess.Write(_handle, bytes, position);

        public void SetLength(long length) => RandomAccess.SetLength(_handle, length);

        public void SyncData()
        {
            if (OperatingSystem.IsLinux())
            {
                LinuxFiles.SyncData(_handle, Path);
            }
            else
            {
                RandomAccess.FlushToDisk(_handle);
            }
        }

        public void Dispose() => _handle.Dispose();
    }
}

/// <summary>The system calls that the runtime does not offer.</summary>
internal static partial class LinuxFiles
{
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int AccessDenied = 13;
    private const int ReadNoWait = 8;
    private const int OpenReadOnlyCloseOnExec = 0x80000;
    private const int LockExclusiveNonBlocking = 2 | 4;

    // RandomAccess.FlushToDisk is fsync, which writes the times of the file as well.
    public static void SyncData(SafeFileHandle handle, string path)
    {
        while (FileDataSync(handle) != 0)
        {
            ThrowUnlessInterrupted("fdatasync", path);
        }
    }

    /// <summary>Reads a byte, unless that would have to wait for the disk (RWF_NOWAIT).</summary>
    public static unsafe bool IsByteInMemory(SafeFileHandle handle, long position)
    {
        byte one;
        var buffer = new IoVector { Start = (nint)(&one), ByteCount = 1 };
        return ReadVector(handle, ref buffer, 1, position, ReadNoWait) >= 0 || Marshal.GetLastPInvokeError() != WouldBlock;
    }

    public static void SyncDirectory(string path)
    {
        using SafeFileHandle handle = Open(path, OpenReadOnlyCloseOnExec, 0);
        if (handle.IsInvalid)
        {
            ThrowUnlessInterrupted("open", path);
        }

        while (FileSync(handle) != 0)
        {
            ThrowUnlessInterrupted("fsync", path);
        }
    }

    public static bool TryLock(SafeFileHandle handle) => FileLock(handle, LockExclusiveNonBlocking) == 0;

    private static void ThrowUnlessInterrupted(string call, string path)
    {
        int error = Marshal.GetLastPInvokeError();
        string message = $"{call} failed on {path}: {Marshal.GetPInvokeErrorMessage(error)}.";
        switch (error)
        {
            case Interrupted:
                break;
            case AccessDenied:
                throw new UnauthorizedAccessException(message);
            default:
                throw new IOException(message, error);
        }
    }

    [LibraryImport("libc", EntryPoint = "preadv2", SetLastError = true)]
    private static partial nint ReadVector(SafeFileHandle handle, ref IoVector buffers, int bufferCount, long position, int flags);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FileDataSync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FileSync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int FileLock(SafeFileHandle handle, int operation);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags, int mode);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct IoVector
    {
        public nint Start;
        public nint ByteCount;
    }
}
