using Millrace.Kafka;

namespace Millrace.Testing;

/// <content>Time and quiet.</content>
public sealed partial class MillraceTestHost
{
    /// <summary>
    /// Waits until nothing can happen any more before the clock moves: every message in the log is handled, but for those that
    /// failed and wait for their next attempt, which is due later. If the machine is down, or goes down meanwhile, it is
    /// started again first.
    /// </summary>
    /// <remarks>
    /// It sees what handlers and sagas do, and what is in the log. What the application does besides (a background service that
    /// is about to publish something) it does not see.
    /// </remarks>
    /// <param name="timeout">The bound, in real time. Default: <see cref="TestHostOptions.Patience"/>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What waits for its next attempt, and when that is due.</returns>
    /// <exception cref="TimeoutException">It was not quiet in time; the message says what was going on.</exception>
    public async Task<MessagingState> WaitUntilQuietAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        TimeSpan bound = timeout ?? _options.Patience;
        using CancellationTokenSource deadline = new(bound, TimeProvider.System);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        MessagingState? last = null;
        try
        {
            while (true)
            {
                await RestartIfDownAsync(either.Token);
                long firings = Time.FiringVersion;
                last = await LookUntilQuietAsync(either.Token);
                if (last is not null && firings == Time.FiringVersion && Time.FiringCount == 0) return last;
                await Task.Yield();
                either.Token.ThrowIfCancellationRequested();
            }
        }
        catch (OperationCanceledException late) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"The application was not quiet within {bound}: {await DescribeAsync()}", late);
        }
    }

    /// <summary>
    /// Moves the clock. Everything that comes due on the way happens at its own time, with all that follows from it, before the
    /// clock moves on: a message that fails five times is retried five times.
    /// </summary>
    /// <remarks>
    /// It waits for quiet before each step, so it does not end while a handler waits for the clock itself, as one in a
    /// <see cref="Task.Delay(TimeSpan, TimeProvider)"/> does. For that, use <see cref="VirtualTime.Advance"/>, which waits for nothing.
    /// </remarks>
    /// <param name="by">How far, from zero.</param>
    /// <param name="cancellationToken">Ends the wait; the clock stays where it is by then.</param>
    /// <exception cref="TimeoutException">It was not quiet in time before one of the steps; the message says what was going on.</exception>
    public async Task AdvanceAsync(TimeSpan by, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        DateTimeOffset target = Time.GetUtcNow() + by;
        do
        {
            await WaitUntilQuietAsync(cancellationToken: cancellationToken);
        }
        while (Time.Step(target));
    }

    /// <summary>Null when the machine went down.</summary>
    private async Task<MessagingState?> LookUntilQuietAsync(CancellationToken cancellationToken)
    {
        Machine machine = _machine;
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<MessagingState> quiet = machine.Activity.WaitUntilQuietAsync(stop.Token);
        try
        {
            await Task.WhenAny(quiet, machine.WentDown);
            if (!machine.IsDown) return await quiet;
        }
        catch (Exception) when (machine.IsDown)
        {
            // What is down does not answer.
        }

        await stop.CancelAsync();
        await ((Task)quiet).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await machine.WentDown;
        return null;
    }

    private async Task<string> DescribeAsync()
    {
        if (IsDown) return "the machine is down.";
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(5), TimeProvider.System);
        try
        {
            MessagingState state = await _machine.Activity.ReadAsync(deadline.Token);
            return state switch
            {
                { RunningCount: > 0 } => $"{state.RunningCount} messages are being handled. Does a handler wait for something that the test does later, or for the clock?",
                { UnassignedPartitionCount: > 0 } => $"{state.UnassignedPartitionCount} partitions are not assigned.",
                { UnreadCount: > 0 } => $"{state.UnreadCount} records are not taken in.",
                _ => "it is busy from one moment to the next. Do two handlers answer each other for ever?",
            };
        }
        catch (Exception failure) when (failure is OperationCanceledException or KafkaException or MillraceNotRunningException)
        {
            return $"the log does not answer: {failure.Message}";
        }
    }
}
