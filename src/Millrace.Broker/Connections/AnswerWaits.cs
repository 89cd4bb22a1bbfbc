namespace Millrace.Broker;

/// <summary>
/// Waits for an answer while there is somebody to read it. As <see cref="Task.WaitAsync(CancellationToken)"/>, which however goes by the thread pool, whatever the
/// context is of who waits.
/// </summary>
internal static class AnswerWaits
{
    private const ConfigureAwaitOptions Quietly = ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext;

    /// <exception cref="OperationCanceledException">The client is gone.</exception>
    public static Task<T> UntilAbortedAsync<T>(this Task<T> answer, CancellationToken aborted) =>
        answer.IsCompleted || !aborted.CanBeCanceled ? answer : AwaitAsync(answer, aborted);

    /// <exception cref="OperationCanceledException">The client is gone.</exception>
    public static Task UntilAbortedAsync(this Task answer, CancellationToken aborted) =>
        answer.IsCompleted || !aborted.CanBeCanceled ? answer : AwaitAsync(ToTaskOfBool(answer), aborted);

    private static async Task<T> AwaitAsync<T>(Task<T> answer, CancellationToken aborted)
    {
        TaskCompletionSource<T> first = new();
        await using CancellationTokenRegistration registration = aborted.UnsafeRegister(
            static (source, token) => ((TaskCompletionSource<T>)source!).TrySetCanceled(token), first);
        _ = ForwardAsync(answer, first);
        return await first.Task;
    }

    private static async Task ForwardAsync<T>(Task<T> answer, TaskCompletionSource<T> first)
    {
        await ((Task)answer).ConfigureAwait(Quietly);
        first.TrySetFromTask(answer);
    }

    private static async Task<bool> ToTaskOfBool(Task answer)
    {
        await answer;
        return true;
    }
}
