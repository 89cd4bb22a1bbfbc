namespace Millrace.Log;

/// <summary>A file in use: it stays open until this is disposed.</summary>
internal readonly record struct FileUse(LazyFile Owner, IStorageFile File) : IDisposable
{
    public void Dispose() => Owner.Leave();
}

/// <summary>
/// A file that is open only while it is used, and for as long after that as <see cref="OpenFiles"/> has room. Safe for any number of threads.
/// </summary>
/// <remarks>
/// A file with bytes that were not synced is synced before it is closed, for an error of the write that comes later is told to those who
/// have the file open, and to nobody if there is none. If that sync fails, so does every later write and sync.
/// </remarks>
internal sealed class LazyFile : IStorageFile
{
    private const int Closed = -1;

    private readonly OpenFiles _owner;
    private readonly string _directory;

    // Guards opening, closing and renaming. Taken before the lock of the owner; inside of that lock it is only tried.
    private readonly Lock _gate = new();
    private string _name;
    private IStorageFile? _file;
    private int _userCount = Closed;
    private bool _wasUsed;
    private volatile bool _isDirty;
    private volatile bool _isDisposed;
    private volatile IOException? _failure;

    internal LazyFile(OpenFiles owner, string directory, string name)
    {
        _owner = owner;
        _directory = directory;
        _name = name;
    }

    public string Path => $"{_directory}/{_name}";

    public string Name => _name;

    public bool IsOpen => Volatile.Read(ref _userCount) != Closed;

    public long Length
    {
        get
        {
            using FileUse use = Use();
            return use.File.Length;
        }
    }

    /// <summary>Guarded by the owner's lock; -1 where the file is not among the open ones.</summary>
    internal int PlaceInCircle { get; set; } = -1;

    /// <summary>Opens the file if it is not open, and keeps it open until the use ends.</summary>
    public FileUse Use() => new(this, TryEnter() ? _file! : OpenAndEnter());

    public bool IsInMemory(long position, int byteCount)
    {
        using FileUse use = Use();
        return use.File.IsInMemory(position, byteCount);
    }

    public int Read(Span<byte> buffer, long position)
    {
        using FileUse use = Use();
        return use.File.Read(buffer, position);
    }

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        using FileUse use = Use();
        ThrowIfFailed();
        try
        {
            use.File.Write(bytes, position);
        }
        finally
        {
            // After the write: a sync that began before it does not cover it.
            _isDirty = true;
        }
    }

    public void SetLength(long length)
    {
        using FileUse use = Use();
        ThrowIfFailed();
        try
        {
            use.File.SetLength(length);
        }
        finally
        {
            _isDirty = true;
        }
    }

    /// <summary>Syncs, unless everything that was written has been synced already.</summary>
    public void SyncIfDirty()
    {
        ThrowIfFailed();
        if (_isDirty)
        {
            SyncData();
        }
    }

    public void SyncData()
    {
        using FileUse use = Use();
        ThrowIfFailed();
        _isDirty = false;
        try
        {
            use.File.SyncData();
        }
        catch (IOException exception)
        {
            _failure = exception;
            throw;
        }
    }

    /// <summary>Makes another file in its directory.</summary>
    public LazyFile CreateBeside(string name) => _owner.Create(_directory, name);

    /// <summary>Renames the file within its directory; who opens it later opens it under the new name.</summary>
    public void Rename(string name)
    {
        lock (_gate)
        {
            _owner.Storage.Rename(Path, $"{_directory}/{name}");
            _name = name;
        }
    }

    /// <summary>Deletes the file. Who uses it goes on; nobody opens it again.</summary>
    public void Delete()
    {
        // Closed first: opened again under this name it could be another file by then.
        Dispose();
        _owner.Storage.DeleteFile(Path);
    }

    /// <summary>Ends all use: at once where there is none, else when the last user leaves.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        CloseIfUnused();
    }

    internal void Create()
    {
        lock (_gate)
        {
            // The bytes of an older file are gone for good with the next sync only.
            _isDirty = _owner.Storage.FileExists(Path);
            Admit(_owner.Storage.Open(Path, StorageOpenMode.Create));
            Volatile.Write(ref _userCount, 0);
        }
    }

    internal void Leave()
    {
        if (Interlocked.Decrement(ref _userCount) == 0 && _isDisposed)
        {
            CloseIfUnused();
        }
    }

    /// <summary>Whether it was used since the last time that this was asked.</summary>
    internal bool TakeWasUsed()
    {
        bool wasUsed = Volatile.Read(ref _wasUsed);
        Volatile.Write(ref _wasUsed, false);
        return wasUsed;
    }

    /// <summary>Shuts new users out, unless somebody has the file. Then <see cref="EndClosing"/> has to follow on the same thread.</summary>
    internal bool TryBeginClosing()
    {
        if (!_gate.TryEnter())
        {
            return false;
        }

        if (Interlocked.CompareExchange(ref _userCount, Closed, 0) == 0)
        {
            return true;
        }

        _gate.Exit();
        return false;
    }

    internal void EndClosing()
    {
        try
        {
            Close(syncs: !_isDisposed);
        }
        finally
        {
            _gate.Exit();
        }
    }

    private bool TryEnter()
    {
        int userCount = Volatile.Read(ref _userCount);
        while (userCount != Closed)
        {
            int found = Interlocked.CompareExchange(ref _userCount, userCount + 1, userCount);
            if (found == userCount)
            {
                Entered();
                return true;
            }

            userCount = found;
        }

        return false;
    }

    private void Entered()
    {
        if (_isDisposed)
        {
            Leave();
            throw new ObjectDisposedException(Path);
        }

        if (!Volatile.Read(ref _wasUsed))
        {
            Volatile.Write(ref _wasUsed, true);
        }
    }

    private IStorageFile OpenAndEnter()
    {
        lock (_gate)
        {
            if (TryEnter())
            {
                return _file!;
            }

            ObjectDisposedException.ThrowIf(_isDisposed, this);
            Admit(_owner.Storage.Open(Path, StorageOpenMode.Existing));
            Volatile.Write(ref _userCount, 1);
            Entered();
            return _file!;
        }
    }

    private void Admit(IStorageFile file)
    {
        try
        {
            _owner.Admit(this);
        }
        catch
        {
            _owner.Remove(this);
            file.Dispose();
            throw;
        }

        // Before the count of users is published: who comes in by the count takes the file.
        _file = file;
    }

    private void CloseIfUnused()
    {
        lock (_gate)
        {
            if (Interlocked.CompareExchange(ref _userCount, Closed, 0) == 0)
            {
                _owner.Remove(this);
                Close(syncs: false);
            }
        }
    }

    private void Close(bool syncs)
    {
        using IStorageFile file = _file!;
        _file = null;
        if (!syncs || !_isDirty)
        {
            return;
        }

        try
        {
            file.SyncData();
            _isDirty = false;
        }
        catch (IOException exception)
        {
            _failure = exception;
        }
    }

    private void ThrowIfFailed()
    {
        if (_failure is { } failure)
        {
            throw new IOException(failure.Message, failure);
        }
    }
}
