namespace Millrace;

/// <summary>Whether a partition is still this process's, as its handlers see it.</summary>
internal sealed class Ownership
{
    private readonly CancellationTokenSource _leaving = new();
    private readonly CancellationTokenSource _gone = new();

    /// <summary>The partition is about to go: handlers are told to end, and what they complete in time still counts.</summary>
    public CancellationToken Leaving => _leaving.Token;

    /// <summary>The partition is gone: what its handlers still do has no effect on the log.</summary>
    public CancellationToken Gone => _gone.Token;

    /// <summary>Tells the handlers to end: the token is cancelled when the call returns, and the task completes after what hangs on it.</summary>
    public Task LeaveAsync() => _leaving.CancelAsync();

    /// <summary>Ends the ownership, telling the handlers as well.</summary>
    public Task GoAsync() => Task.WhenAll(_leaving.CancelAsync(), _gone.CancelAsync());
}
