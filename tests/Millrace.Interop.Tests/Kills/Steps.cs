namespace Millrace.Interop.Tests.Kills;

/// <summary>How many steps a producer may take, and how many it has taken: between the rounds of a campaign it stands still.</summary>
internal sealed class Steps : IDisposable
{
    private readonly SemaphoreSlim _allowed = new(0);
    private volatile bool _isStopping;
    private int _allowedCount;
    private int _takenCount;

    public int TakenCount => Volatile.Read(ref _takenCount);

    public bool AreAllTaken => TakenCount == _allowedCount;

    public void Allow(int count)
    {
        _allowedCount += count;
        _allowed.Release(count);
    }

    /// <summary>Waits until a step is allowed; false when there will be none any more.</summary>
    public bool WaitForNext()
    {
        _allowed.Wait();
        return !_isStopping;
    }

    public void Took() => Interlocked.Increment(ref _takenCount);

    public void Stop()
    {
        _isStopping = true;
        _allowed.Release();
    }

    public void Dispose() => _allowed.Dispose();
}
