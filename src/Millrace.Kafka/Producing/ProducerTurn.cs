namespace Millrace.Kafka;

/// <summary>
/// A record that was produced and whose serialiser has to be waited for: its place behind those of the same view that wait, and the transaction that it belongs to. A flush waits for it, and with
/// it a commit and the close.
/// </summary>
/// <param name="previous">Ends when the turn of the record before does.</param>
/// <param name="transaction">The ordinal of the transaction (<see cref="TransactionState.Ordinal"/>); 0 where there are none.</param>
internal sealed class ProducerTurn(Task previous, long transaction)
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task Previous => previous;

    public long Transaction => transaction;

    /// <summary>Completes when the record has been handed to the producer or has failed, and so have all before it.</summary>
    public Task Ended => _ended.Task;

    public void End()
    {
        if (previous.IsCompleted)
        {
            _ended.TrySetResult();
            return;
        }

        // Given up before its turn came: those behind it still wait for those before it.
        _ = previous.ContinueWith(_ => _ended.TrySetResult(), TaskScheduler.Default);
    }
}
