namespace Millrace.Kafka;

internal static class Permits
{
    /// <summary>
    /// As <see cref="SemaphoreSlim.WaitAsync(CancellationToken)"/>. That one goes on on the thread pool when a permit comes, whatever the context of who waits; this one does not leave it.
    /// </summary>
    public static Task TakeAsync(this SemaphoreSlim permits, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled(cancellationToken);
        }

        Task taken = permits.WaitAsync(CancellationToken.None);
        return taken.IsCompleted ? taken : WaitAsync(permits, taken, cancellationToken);
    }

    private static async Task WaitAsync(SemaphoreSlim permits, Task taken, CancellationToken cancellationToken)
    {
        try
        {
            await taken.InContext().WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            _ = HandOnAsync(permits, taken);
            throw;
        }
    }

    /// <summary>The permit comes when nobody waits for it any more.</summary>
    private static async Task HandOnAsync(SemaphoreSlim permits, Task taken)
    {
        await taken;
        permits.Release();
    }
}
