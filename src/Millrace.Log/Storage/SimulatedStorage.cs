using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What an operation on a simulated disk is.</summary>
public enum SimulatedOperation
{
    Open,
    Create,
    Read,
    Write,
    SetLength,
    SyncData,
    CreateDirectory,
    DeleteFile,
    DeleteDirectory,
    Rename,
    SyncDirectory,
    Lock,
    List,
}

/// <summary>An operation that a simulated disk was told to refuse, and has refused.</summary>
public readonly record struct SimulatedRefusal(SimulatedOperation Operation, string Path);

/// <summary>How a simulated machine goes down.</summary>
public enum SimulatedCrashKind
{
    /// <summary>The process ends; the page cache, and with it every byte that was written, stays.</summary>
    ProcessKill,

    /// <summary>
    /// The machine ends. Of what was not synced, each page and each change of a directory is kept, lost, or torn, in any order.
    /// </summary>
    PowerLoss,
}

/// <summary>The simulated machine went down in the middle of an operation; nothing works any more.</summary>
public sealed class SimulatedCrashException : Exception
{
    internal SimulatedCrashException()
        : base("The simulated machine is down.")
    {
    }
}

/// <summary>
/// A disk in memory that keeps what a real one promises, and nothing else. Everything follows from the seed and the calls: a hash over
/// all operations and their results tells whether two runs were the same.
/// </summary>
public sealed class SimulatedStorage : IStorage
{
    private readonly Lock _lock = new();
    private readonly Random _random;
    private readonly SimulatedDirectory _root;
    private readonly HashSet<string> _locks = new(StringComparer.Ordinal);
    private readonly List<Failure> _failures = [];
    private readonly List<SimulatedRefusal> _refusals = [];
    private ulong _hash = 14695981039346656037;
    private long _crashAt = long.MaxValue;
    private long _failFrom = long.MaxValue;
    private long _failUntil = long.MaxValue;
    private bool _isDown;

    public SimulatedStorage(int seed)
        : this(new Random(seed), new SimulatedDirectory())
    {
    }

    private SimulatedStorage(Random random, SimulatedDirectory root)
    {
        _random = random;
        _root = root;
    }

    /// <summary>Null unless it is set; then a loss of power changes it.</summary>
    public string? BootId { get; set; }

    /// <summary>A disk that says that it has flushed and has not. With it, acknowledged records must get lost: the control of every simulation.</summary>
    public bool IgnoresFlushes { get; set; }

    /// <summary>The same for the files whose name begins so; null for none.</summary>
    public string? IgnoresFlushesOf { get; set; }

    /// <summary>A disk that tells nobody which syncs of files it has refused: the control of every simulation whose disk refuses some.</summary>
    public bool HidesRefusedSyncs { get; set; }

    /// <summary>Bytes by which files may still grow before the disk is full. Default: without limit.</summary>
    public long FreeByteCount { get; set; } = long.MaxValue;

    /// <summary>Operations so far that change or sync something; each is a place where <see cref="CrashAfter"/> may strike.</summary>
    public long OperationCount { get; private set; }

    /// <summary>How many operations it was told to refuse and has refused.</summary>
    public int RefusalCount
    {
        get
        {
            lock (_lock)
            {
                return _refusals.Count;
            }
        }
    }

    /// <summary>Bytes read from files so far.</summary>
    public long ReadByteCount { get; private set; }

    /// <summary>A running hash over every operation and its result.</summary>
    public ulong Hash
    {
        get
        {
            lock (_lock)
            {
                return _hash;
            }
        }
    }

    /// <summary>One: who opens many partitions does it in one order, so that a seed replays.</summary>
    public int UsefulThreadCount => 1;

    public bool IsDown
    {
        get
        {
            lock (_lock)
            {
                return _isDown;
            }
        }
    }

    /// <summary>The machine goes down in the middle of the operation after the next <paramref name="operationCount"/>.</summary>
    public void CrashAfter(long operationCount)
    {
        lock (_lock)
        {
            _crashAt = OperationCount + operationCount;
        }
    }

    /// <summary>The next operation of this kind on a path that ends so fails with an <see cref="IOException"/>.</summary>
    public void FailNext(SimulatedOperation operation, string pathSuffix = "")
    {
        lock (_lock)
        {
            _failures.Add(new Failure(operation, pathSuffix, SkippedCount: 0, Count: 1));
        }
    }

    /// <summary>
    /// Of the operations of a kind, or of any kind, those that only look included, on paths that end so the next <paramref name="skippedCount"/> go well, and
    /// <paramref name="failureCount"/> after them fail with an <see cref="IOException"/>.
    /// </summary>
    public void FailSome(SimulatedOperation? operation, int skippedCount, int failureCount, string pathSuffix = "")
    {
        lock (_lock)
        {
            _failures.Add(new Failure(operation, pathSuffix, skippedCount, failureCount));
        }
    }

    /// <summary>
    /// Of the operations that change or sync something, the next <paramref name="operationCount"/> go well, and <paramref name="failureCount"/> after them fail with an
    /// <see cref="IOException"/>.
    /// </summary>
    public void FailAfter(long operationCount, int failureCount)
    {
        lock (_lock)
        {
            _failFrom = OperationCount + operationCount;
            _failUntil = _failFrom + failureCount;
        }
    }

    /// <summary>What it was told to refuse and has refused, in order, without the first of them.</summary>
    public IReadOnlyList<SimulatedRefusal> RefusalsAfter(int count)
    {
        lock (_lock)
        {
            return _refusals[count..];
        }
    }

    /// <summary>Nothing fails any more of what <see cref="FailNext"/>, <see cref="FailSome"/> and <see cref="FailAfter"/> have asked for.</summary>
    public void FailNoMore()
    {
        lock (_lock)
        {
            _failures.Clear();
            _failFrom = long.MaxValue;
            _failUntil = long.MaxValue;
        }
    }

    /// <summary>The disk flips a bit of a file, unnoticed.</summary>
    public void FlipBit(string path, long position)
    {
        lock (_lock)
        {
            File(path).FlipBit(position);
        }
    }

    /// <summary>
    /// The page cache forgets the pages of a file that are not due to be written. After a failed sync those are among them that the disk
    /// never got.
    /// </summary>
    public void DropCleanPages(string path)
    {
        lock (_lock)
        {
            File(path).DropCleanPages();
        }
    }

    /// <summary>Ends the machine, if it runs, and returns the disk as the next start finds it. Files that are open stay dead.</summary>
    public SimulatedStorage Crash(SimulatedCrashKind kind)
    {
        lock (_lock)
        {
            _isDown = true;
            SimulatedDirectory root = kind == SimulatedCrashKind.ProcessKill ? _root : _root.AfterPowerLoss(_random);
            var next = new SimulatedStorage(_random, root)
            {
                IgnoresFlushes = IgnoresFlushes,
                IgnoresFlushesOf = IgnoresFlushesOf,
                HidesRefusedSyncs = HidesRefusedSyncs,
                BootId = kind == SimulatedCrashKind.ProcessKill ? BootId : BootId?.Insert(0, "after "),
                FreeByteCount = FreeByteCount,
                OperationCount = OperationCount,
                _hash = _hash,
            };
            next._refusals.AddRange(_refusals);
            next.Mix((ulong)kind);
            root.MixInto(next.Mix);
            return next;
        }
    }

    public IStorageFile Open(string path, StorageOpenMode mode)
    {
        lock (_lock)
        {
            SimulatedOperation operation = mode == StorageOpenMode.Create ? SimulatedOperation.Create : SimulatedOperation.Open;
            bool survives = Begin(operation, path);
            if (mode != StorageOpenMode.Create)
            {
                return new Handle(this, path, File(path), isReadOnly: mode == StorageOpenMode.Reading);
            }

            (SimulatedDirectory parent, string name) = Parent(path);
            if (parent.Find(name) is SimulatedFile existing)
            {
                existing.SetLength(0);
                End(survives);
                return new Handle(this, path, existing, isReadOnly: false);
            }

            if (parent.Find(name) is SimulatedDirectory)
            {
                throw new UnauthorizedAccessException($"Access to the path '{path}' is denied.");
            }

            var file = new SimulatedFile();
            parent.Set(name, file);
            End(survives);
            return new Handle(this, path, file, isReadOnly: false);
        }
    }

    public bool FileExists(string path)
    {
        lock (_lock)
        {
            return Find(path) is SimulatedFile;
        }
    }

    public bool DirectoryExists(string path)
    {
        lock (_lock)
        {
            return Find(path) is SimulatedDirectory;
        }
    }

    public void CreateDirectory(string path)
    {
        lock (_lock)
        {
            bool survives = Begin(SimulatedOperation.CreateDirectory, path);
            (SimulatedDirectory parent, string name) = Parent(path);
            switch (parent.Find(name))
            {
                case SimulatedFile:
                    throw new IOException($"The file '{path}' already exists.");
                case null:
                    parent.Set(name, new SimulatedDirectory());
                    break;
            }

            End(survives);
        }
    }

    public void DeleteFile(string path)
    {
        lock (_lock)
        {
            bool survives = Begin(SimulatedOperation.DeleteFile, path);
            (SimulatedDirectory parent, string name) = Parent(path);
            if (parent.Find(name) is SimulatedFile)
            {
                parent.Remove(name);
            }

            End(survives);
        }
    }

    public void DeleteDirectory(string path)
    {
        lock (_lock)
        {
            bool survives = Begin(SimulatedOperation.DeleteDirectory, path);
            if (!Directory(path).IsEmpty)
            {
                throw new IOException($"Directory not empty: '{path}'");
            }

            (SimulatedDirectory parent, string name) = Parent(path);
            parent.Remove(name);
            End(survives);
        }
    }

    public void Rename(string from, string to)
    {
        lock (_lock)
        {
            bool survives = Begin(SimulatedOperation.Rename, from);
            (SimulatedDirectory parent, string name) = Parent(from);
            (SimulatedDirectory target, string newName) = Parent(to);
            if (parent != target)
            {
                throw new IOException($"'{from}' is not in the directory of '{to}'.");
            }

            SimulatedNode node = Find(from) ?? throw new FileNotFoundException($"Could not find file '{from}'.", from);
            if (node is SimulatedDirectory && parent.Find(newName) is not null)
            {
                throw new IOException($"Cannot create '{to}' because a file or directory with the same name already exists.");
            }

            parent.Rename(name, newName, node);
            Mix(Hash64(Encoding.UTF8.GetBytes(newName)));
            End(survives);
        }
    }

    public IReadOnlyList<StorageEntry> List(string path)
    {
        lock (_lock)
        {
            Begin(SimulatedOperation.List, path);
            return Directory(path).List();
        }
    }

    /// <summary>The same for who looks at the disk from outside of the machine: it is no operation, and never fails.</summary>
    public IReadOnlyList<StorageEntry> Peek(string path)
    {
        lock (_lock)
        {
            return Directory(path).List();
        }
    }

    public void SyncDirectory(string path)
    {
        lock (_lock)
        {
            Begin(SimulatedOperation.SyncDirectory, path);
            End(survives: true);
            if (!IgnoresFlushes)
            {
                Directory(path).Sync();
            }
        }
    }

    public IDisposable? TryLock(string path)
    {
        lock (_lock)
        {
            Begin(SimulatedOperation.Lock, path);
            (SimulatedDirectory parent, string name) = Parent(path);
            if (parent.Find(name) is null)
            {
                parent.Set(name, new SimulatedFile());
            }

            return _locks.Add(path) ? new HeldLock(this, path) : null;
        }
    }

    private static ulong Hash64(ReadOnlySpan<byte> bytes) => ((ulong)bytes.Length << 32) | Crc32C.Compute(bytes);

    /// <summary>Counts and hashes an operation, and fails it if it was told to. False: the machine goes down in it.</summary>
    private bool Begin(SimulatedOperation operation, string path)
    {
        ThrowIfDown();
        Mix((ulong)operation);
        Mix(Hash64(Encoding.UTF8.GetBytes(path)));
        bool survives = true;
        bool isRefused = false;
        if (operation is not (SimulatedOperation.Read or SimulatedOperation.Open or SimulatedOperation.List or SimulatedOperation.Lock))
        {
            survives = OperationCount < _crashAt;
            isRefused = OperationCount >= _failFrom && OperationCount < _failUntil;
            OperationCount++;
        }

        // Half of the operations in which the machine goes down are as if they had not been.
        if (!survives && _random.Next(2) == 0)
        {
            GoDown();
        }

        isRefused |= TakeFailure(operation, path);
        if (isRefused)
        {
            _refusals.Add(new SimulatedRefusal(operation, path));
            if (operation == SimulatedOperation.SyncData)
            {
                File(path).ForgetDirtyPages();
            }

            if (operation != SimulatedOperation.SyncData || !HidesRefusedSyncs)
            {
                throw new IOException("Input/output error");
            }
        }

        return survives;
    }

    /// <summary>Whether it is to fail by one of those that were asked for; each of them counts it.</summary>
    private bool TakeFailure(SimulatedOperation operation, string path)
    {
        bool isTaken = false;
        for (int number = 0; number < _failures.Count; number++)
        {
            Failure failure = _failures[number];
            if ((failure.Operation is { } kind && kind != operation) || !path.EndsWith(failure.PathSuffix, StringComparison.Ordinal))
            {
                continue;
            }

            if (failure.SkippedCount > 0)
            {
                _failures[number] = failure with { SkippedCount = failure.SkippedCount - 1 };
            }
            else if (!isTaken)
            {
                isTaken = true;
                _failures[number] = failure with { Count = failure.Count - 1 };
            }
        }

        _failures.RemoveAll(static failure => failure.Count == 0);
        return isTaken;
    }

    private void End(bool survives)
    {
        if (!survives)
        {
            GoDown();
        }
    }

    private void GoDown()
    {
        _isDown = true;
        throw new SimulatedCrashException();
    }

    private void ThrowIfDown()
    {
        if (_isDown)
        {
            throw new SimulatedCrashException();
        }
    }

    private void Mix(ulong value) => _hash = ulong.RotateLeft((_hash ^ value) * 1099511628211, 23);

    private SimulatedFile File(string path) =>
        Find(path) as SimulatedFile ?? throw new FileNotFoundException($"Could not find file '{path}'.", path);

    private SimulatedDirectory Directory(string path) =>
        Find(path) as SimulatedDirectory ?? throw new DirectoryNotFoundException($"Could not find a part of the path '{path}'.");

    private (SimulatedDirectory Parent, string Name) Parent(string path)
    {
        int slash = path.LastIndexOf('/');
        return (Directory(path[..Math.Max(slash, 0)]), path[(slash + 1)..]);
    }

    private SimulatedNode? Find(string path)
    {
        ThrowIfDown();
        SimulatedNode? node = _root;
        foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (name != ".")
            {
                node = (node as SimulatedDirectory)?.Find(name);
            }
        }

        return node;
    }

    private sealed record Failure(SimulatedOperation? Operation, string PathSuffix, int SkippedCount, int Count);

    private sealed class HeldLock(SimulatedStorage storage, string path) : IDisposable
    {
        public void Dispose()
        {
            lock (storage._lock)
            {
                storage._locks.Remove(path);
            }
        }
    }

    private sealed class Handle(SimulatedStorage storage, string path, SimulatedFile file, bool isReadOnly) : IStorageFile
    {
        private bool _isDisposed;

        public string Path => path;

        public long Length
        {
            get
            {
                lock (storage._lock)
                {
                    Check();
                    return file.Length;
                }
            }
        }

        public int Read(Span<byte> buffer, long position)
        {
            lock (storage._lock)
            {
                Check();
                storage.Begin(SimulatedOperation.Read, path);
                int count = file.Read(buffer, position);
                storage.Mix(Hash64(buffer[..count]));
                storage.ReadByteCount += count;
                return count;
            }
        }

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            lock (storage._lock)
            {
                CheckWritable();
                storage.Mix(Hash64(bytes));
                storage.Mix((ulong)position);
                bool survives;
                try
                {
                    survives = storage.Begin(SimulatedOperation.Write, path);
                }
                catch (IOException)
                {
                    file.Write(bytes[..storage._random.Next(bytes.Length + 1)], position);
                    throw;
                }

                if (!survives)
                {
                    file.Write(bytes[..storage._random.Next(bytes.Length + 1)], position);
                    storage.GoDown();
                }

                long growth = Math.Max(0, position + bytes.Length - file.Length);
                if (growth > storage.FreeByteCount)
                {
                    file.Write(bytes[..(int)(bytes.Length - (growth - storage.FreeByteCount))], position);
                    storage.FreeByteCount = 0;
                    throw new IOException("No space left on device");
                }

                storage.FreeByteCount -= storage.FreeByteCount == long.MaxValue ? 0 : growth;
                file.Write(bytes, position);
            }
        }

        public void SetLength(long length)
        {
            lock (storage._lock)
            {
                CheckWritable();
                bool survives = storage.Begin(SimulatedOperation.SetLength, path);
                storage.Mix((ulong)length);
                file.SetLength(length);
                storage.End(survives);
            }
        }

        public void SyncData()
        {
            lock (storage._lock)
            {
                Check();

                // The machine that goes down in a sync has synced nothing: a power loss persists any part of it anyway.
                storage.End(storage.Begin(SimulatedOperation.SyncData, path));
                bool isIgnored = storage.IgnoresFlushesOf is { } prefix && path[(path.LastIndexOf('/') + 1)..].StartsWith(prefix, StringComparison.Ordinal);
                if (!storage.IgnoresFlushes && !isIgnored)
                {
                    file.Sync();
                }
            }
        }

        public void Dispose() => _isDisposed = true;

        private void Check()
        {
            storage.ThrowIfDown();
            ObjectDisposedException.ThrowIf(_isDisposed, this);
        }

        private void CheckWritable()
        {
            Check();
            if (isReadOnly)
            {
                throw new UnauthorizedAccessException($"Access to the path '{path}' is denied.");
            }
        }
    }
}
