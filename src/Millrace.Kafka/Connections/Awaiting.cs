namespace Millrace.Kafka;

/// <summary>How the client awaits where it does not merely await: like everywhere else it goes on in the context that it came from.</summary>
internal static class Awaiting
{
    /// <summary>Whether it has failed is somebody else's business.</summary>
    public const ConfigureAwaitOptions Quietly = ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext;

    /// <summary>
    /// The same task; where the caller has a synchronization context, one that completes in it. For <see cref="Task.WaitAsync(CancellationToken)"/>, which goes by way of the thread pool where
    /// a task runs its continuations asynchronously, and has no need to where there is another place for them.
    /// </summary>
    public static Task InContext(this Task task) => task.IsCompleted || SynchronizationContext.Current is null ? task : FollowAsync(task);

    /// <inheritdoc cref="InContext(Task)"/>
    public static Task<T> InContext<T>(this Task<T> task) => task.IsCompleted || SynchronizationContext.Current is null ? task : FollowAsync(task);

    private static async Task FollowAsync(Task task) => await task;

    private static async Task<T> FollowAsync<T>(Task<T> task) => await task;
}
