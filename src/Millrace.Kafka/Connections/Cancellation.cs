namespace Millrace.Kafka;

internal static class Cancellation
{
    /// <summary>
    /// Cancels, and runs what is registered elsewhere, as <see cref="CancellationTokenSource.CancelAsync"/> does; but in the synchronization context of the caller, if it has one, and not on
    /// the thread pool. So whoever brings a context, a simulation for one, has everything of the client in it.
    /// </summary>
    public static Task CancelElsewhereAsync(this CancellationTokenSource source)
    {
        if (SynchronizationContext.Current is not { } context)
        {
            return source.CancelAsync();
        }

        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        context.Post(_ => Cancel(source, done), null);
        return done.Task;
    }

    private static void Cancel(CancellationTokenSource source, TaskCompletionSource done)
    {
        try
        {
            source.Cancel();
            done.SetResult();
        }
        catch (Exception failure)
        {
            done.SetException(failure);
        }
    }
}
