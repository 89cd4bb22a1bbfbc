using Microsoft.Win32.SafeHandles;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Storage whose data syncs wait at a gate, or fail, when a test says so.</summary>
internal sealed class GatedStorage(IStorage inner) : IStorage
{
    private readonly ManualResetEventSlim _gate = new(initialState: true);
    private int _waitingSyncCount;
    private string? _bootId;
    private long _coldByteCount;

    /// <summary>Syncs that stand at the closed gate.</summary>
    public int WaitingSyncCount => Volatile.Read(ref _waitingSyncCount);

    /// <summary>Whether data syncs of record files fail.</summary>
    public bool FailsSyncs { get; set; }

    /// <summary>What happens before bytes are written to a file, whose path is given.</summary>
    public Action<string>? BeforeWrite { get; set; }

    /// <summary>Whether nothing that is read is in memory.</summary>
    public bool IsCold { get; set; }

    /// <summary>The name of the thread that was the first to read records that are not in memory.</summary>
    public string? FirstColdReader { get; private set; }

    /// <summary>How much the threads for that have read.</summary>
    public long ColdByteCount => Volatile.Read(ref _coldByteCount);

    /// <summary>Whether their reads fail, and nobody else's.</summary>
    public bool FailsColdReads { get; set; }

    /// <summary>How many directories may still be created; the next one fails.</summary>
    public int? DirectoriesBeforeFailure { get; set; }

    /// <summary>The name of a partition whose files cannot be opened.</summary>
    public string? UnreadablePartition { get; set; }

    /// <summary>Another one than before, and the machine has lost its power since, for all that a start can tell.</summary>
    public string? BootId
    {
        get => _bootId ?? inner.BootId;
        set => _bootId = value;
    }

    public void CloseGate() => _gate.Reset();

    public void OpenGate() => _gate.Set();

    public int UsefulThreadCount => inner.UsefulThreadCount;

    public IStorageFile Open(string path, StorageOpenMode mode) => UnreadablePartition is { } partition && path.Contains($"/{partition}/", StringComparison.Ordinal)
        ? throw new IOException("Input/output error")
        : new GatedFile(this, inner.Open(path, mode));

    public bool FileExists(string path) => inner.FileExists(path);

    public bool DirectoryExists(string path) => inner.DirectoryExists(path);

    public void CreateDirectory(string path)
    {
        if (DirectoriesBeforeFailure is { } left)
        {
            if (left == 0)
            {
                throw new IOException("No space left on device");
            }

            DirectoriesBeforeFailure = left - 1;
        }

        inner.CreateDirectory(path);
    }

    public void DeleteFile(string path) => inner.DeleteFile(path);

    public void DeleteDirectory(string path) => inner.DeleteDirectory(path);

    public void Rename(string from, string to) => inner.Rename(from, to);

    public IReadOnlyList<StorageEntry> List(string path) => inner.List(path);

    public void SyncDirectory(string path) => inner.SyncDirectory(path);

    public IDisposable? TryLock(string path) => inner.TryLock(path);

    private sealed class GatedFile(GatedStorage owner, IStorageFile inner) : IStorageFile
    {
        public string Path => inner.Path;

        public SafeFileHandle? Handle => inner.Handle;

        public bool IsInMemory(long position, int byteCount) => !owner.IsCold && inner.IsInMemory(position, byteCount);

        public long Length => inner.Length;

        public int Read(Span<byte> buffer, long position)
        {
            if (owner.IsCold && Path.EndsWith(".log", StringComparison.Ordinal))
            {
                owner.FirstColdReader ??= Thread.CurrentThread.Name ?? "a thread without a name";
            }

            int count = inner.Read(buffer, position);
            if (Thread.CurrentThread.Name?.StartsWith("Millrace cold reader", StringComparison.Ordinal) == true)
            {
                Interlocked.Add(ref owner._coldByteCount, count);
                if (owner.FailsColdReads)
                {
                    throw new IOException("Input/output error");
                }
            }

            return count;
        }

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            owner.BeforeWrite?.Invoke(Path);
            inner.Write(bytes, position);
        }

        public void SetLength(long length) => inner.SetLength(length);

        public void SyncData()
        {
            if (Path.EndsWith(".log", StringComparison.Ordinal))
            {
                Interlocked.Increment(ref owner._waitingSyncCount);
                owner._gate.Wait();
                Interlocked.Decrement(ref owner._waitingSyncCount);
                if (owner.FailsSyncs)
                {
                    throw new IOException("Input/output error");
                }
            }

            inner.SyncData();
        }

        public void Dispose() => inner.Dispose();
    }
}
