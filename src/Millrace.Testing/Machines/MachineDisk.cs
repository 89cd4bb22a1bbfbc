using Millrace.Log;

namespace Millrace.Testing;

/// <summary>
/// A simulated disk as the programs on its machine see it: when the machine goes down in an operation, that operation and
/// all later ones fail like those of a disk that is gone, and the owner of the machine is told.
/// </summary>
internal sealed class MachineDisk(SimulatedStorage storage) : IStorage
{
    private readonly TaskCompletionSource _wentDown = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the machine is down.</summary>
    public Task WentDown => _wentDown.Task;

    public int UsefulThreadCount => storage.UsefulThreadCount;

    public IStorageFile Open(string path, StorageOpenMode mode) => new DiskFile(this, Run(() => storage.Open(path, mode)));

    public bool FileExists(string path) => Run(() => storage.FileExists(path));

    public bool DirectoryExists(string path) => Run(() => storage.DirectoryExists(path));

    public void CreateDirectory(string path) => Run(() => storage.CreateDirectory(path));

    public void DeleteFile(string path) => Run(() => storage.DeleteFile(path));

    public void DeleteDirectory(string path) => Run(() => storage.DeleteDirectory(path));

    public void Rename(string from, string to) => Run(() => storage.Rename(from, to));

    public IReadOnlyList<StorageEntry> List(string path) => Run(() => storage.List(path));

    public void SyncDirectory(string path) => Run(() => storage.SyncDirectory(path));

    public IDisposable? TryLock(string path) => Run(() => storage.TryLock(path));

    private void Run(Action operation) => Run(() =>
    {
        operation();
        return true;
    });

    private T Run<T>(Func<T> operation)
    {
        try
        {
            return operation();
        }
        catch (SimulatedCrashException crash)
        {
            throw Down(crash);
        }
    }

    /// <summary>The machine is down without an operation that failed.</summary>
    public void ReportDown() => _wentDown.TrySetResult();

    private IOException Down(SimulatedCrashException crash)
    {
        ReportDown();
        return new IOException(crash.Message, crash);
    }

    private sealed class DiskFile(MachineDisk disk, IStorageFile file) : IStorageFile
    {
        public string Path => file.Path;

        public long Length => disk.Run(() => file.Length);

        public int Read(Span<byte> buffer, long position)
        {
            try
            {
                return file.Read(buffer, position);
            }
            catch (SimulatedCrashException crash)
            {
                throw disk.Down(crash);
            }
        }

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            try
            {
                file.Write(bytes, position);
            }
            catch (SimulatedCrashException crash)
            {
                throw disk.Down(crash);
            }
        }

        public void SetLength(long length) => disk.Run(() => file.SetLength(length));

        public void SyncData() => disk.Run(file.SyncData);

        public void Dispose() => file.Dispose();
    }
}
