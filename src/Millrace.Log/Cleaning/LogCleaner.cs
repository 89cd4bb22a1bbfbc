namespace Millrace.Log;

/// <summary>
/// What looks after a data directory in the background: it deletes what retention lets go, and the files of it when their delay is over. One a
/// directory. Dispose it before the directory is closed.
/// </summary>
public sealed class LogCleaner : IAsyncDisposable
{
    private readonly ITimer _retentionTimer;
    private readonly ITimer _deletionTimer;

    // Held while the directory is looked after: a timer that fires meanwhile has nothing to add.
    private readonly Lock _housekeeping = new();

    public LogCleaner(LogDirectory directory, LogCleanerOptions options, TimeProvider time)
    {
        options.Validate();
        _retentionTimer = time.CreateTimer(_ => Keep(directory.ApplyRetention), null, options.RetentionCheckInterval, options.RetentionCheckInterval);
        _deletionTimer = time.CreateTimer(_ => Keep(directory.DeleteLeftovers), null, options.Backoff, options.Backoff);
    }

    public async ValueTask DisposeAsync()
    {
        await _retentionTimer.DisposeAsync();
        await _deletionTimer.DisposeAsync();
    }

    private void Keep(Action work)
    {
        if (_housekeeping.TryEnter())
        {
            try
            {
                work();
            }
            finally
            {
                _housekeeping.Exit();
            }
        }
    }
}
