namespace Millrace.Log;

/// <summary>
/// The open files of a data directory, at most so many at a time. A file is opened when it is used, and closed when another one needs its
/// place: one that was not used for long goes first. A file in use is never closed, so that there may be more for as long as all are in use.
/// </summary>
/// <remarks>
/// Who must make room goes around the files in a circle and takes the first that was not used since the last time around. So a use costs
/// no lock and moves nothing in a list.
/// </remarks>
internal sealed class OpenFiles : IDisposable
{
    private readonly Lock _lock = new();
    private readonly int _maximumCount;
    private readonly List<LazyFile> _circle = [];
    private int _hand;
    private bool _isDisposed;

    public OpenFiles(IStorage storage, int maximumCount)
    {
        Storage = storage;
        _maximumCount = maximumCount;
    }

    public IStorage Storage { get; }

    /// <summary>Files that are open now.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _circle.Count;
            }
        }
    }

    /// <summary>A file that is there. It is opened at its first use.</summary>
    public LazyFile Existing(string directory, string name) => new(this, directory, name);

    /// <summary>Makes a file, and empties it if it was there.</summary>
    public LazyFile Create(string directory, string name)
    {
        var file = new LazyFile(this, directory, name);
        file.Create();
        return file;
    }

    /// <summary>Closes all files; those in use when they are let go.</summary>
    public void Dispose()
    {
        LazyFile[] files;
        lock (_lock)
        {
            _isDisposed = true;
            files = [.. _circle];
        }

        foreach (LazyFile file in files)
        {
            file.Dispose();
        }
    }

    /// <summary>Gives a file that was just opened a place, and closes another one if there is none.</summary>
    internal void Admit(LazyFile file)
    {
        LazyFile? first;
        LazyFile? second;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);

            // Two for one, where there are too many after a time in which all were in use.
            first = _circle.Count >= _maximumCount ? TakeVictim() : null;
            second = _circle.Count >= _maximumCount ? TakeVictim() : null;
            file.PlaceInCircle = _circle.Count;
            _circle.Add(file);
        }

        try
        {
            first?.EndClosing();
        }
        finally
        {
            second?.EndClosing();
        }
    }

    internal void Remove(LazyFile file)
    {
        lock (_lock)
        {
            RemoveFromCircle(file);
        }
    }

    /// <summary>A file that is closed by nobody else from here on; null if all are in use.</summary>
    private LazyFile? TakeVictim()
    {
        for (int step = 0; step < 2 * _circle.Count; step++)
        {
            _hand = _hand < _circle.Count ? _hand : 0;
            LazyFile candidate = _circle[_hand];
            if (!candidate.TakeWasUsed() && candidate.TryBeginClosing())
            {
                RemoveFromCircle(candidate);
                return candidate;
            }

            _hand++;
        }

        return null;
    }

    private void RemoveFromCircle(LazyFile file)
    {
        int place = file.PlaceInCircle;
        if (place < 0)
        {
            return;
        }

        LazyFile last = _circle[^1];
        _circle[place] = last;
        last.PlaceInCircle = place;
        _circle.RemoveAt(_circle.Count - 1);
        file.PlaceInCircle = -1;
    }
}
