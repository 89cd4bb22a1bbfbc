using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>
/// A simulated disk under a whole broker: when the machine is down, every operation fails with an <see cref="IOException"/>, which the broker's own threads
/// live through until the test gives the broker up.
/// </summary>
internal sealed class MortalStorage(SimulatedStorage inner) : IStorage
{
    public int UsefulThreadCount => inner.UsefulThreadCount;

    public string? BootId => inner.BootId;

    public IStorageFile Open(string path, StorageOpenMode mode) => Do(() => new MortalFile(inner.Open(path, mode)));

    public bool FileExists(string path) => Do(() => inner.FileExists(path));

    public bool DirectoryExists(string path) => Do(() => inner.DirectoryExists(path));

    public void CreateDirectory(string path) => Do(() => inner.CreateDirectory(path));

    public void DeleteFile(string path) => Do(() => inner.DeleteFile(path));

    public void DeleteDirectory(string path) => Do(() => inner.DeleteDirectory(path));

    public void Rename(string from, string to) => Do(() => inner.Rename(from, to));

    public IReadOnlyList<StorageEntry> List(string path) => Do(() => inner.List(path));

    public void SyncDirectory(string path) => Do(() => inner.SyncDirectory(path));

    public IDisposable? TryLock(string path) => Do(() => inner.TryLock(path));

    private static void Do(Action operation) => Do(() =>
    {
        operation();
        return true;
    });

    private static T Do<T>(Func<T> operation)
    {
        try
        {
            return operation();
        }
        catch (SimulatedCrashException down)
        {
            throw new IOException(down.Message, down);
        }
    }

    private sealed class MortalFile(IStorageFile inner) : IStorageFile
    {
        public string Path => inner.Path;

        public long Length => Do(() => inner.Length);

        public int Read(Span<byte> buffer, long position)
        {
            try
            {
                return inner.Read(buffer, position);
            }
            catch (SimulatedCrashException down)
            {
                throw new IOException(down.Message, down);
            }
        }

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            try
            {
                inner.Write(bytes, position);
            }
            catch (SimulatedCrashException down)
            {
                throw new IOException(down.Message, down);
            }
        }

        public void SetLength(long length) => Do(() => inner.SetLength(length));

        public void SyncData() => Do(inner.SyncData);

        public void Dispose() => inner.Dispose();
    }
}
