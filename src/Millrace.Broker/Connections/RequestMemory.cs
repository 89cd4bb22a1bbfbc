namespace Millrace.Broker;

/// <summary>
/// The memory of the requests that are being worked on, of all connections together (Kafka's <c>queued.max.request.bytes</c>). Above the limit no
/// connection reads its next request; what is beyond it is at most one request for each connection that was reading already.
/// </summary>
internal sealed class RequestMemory(long limit)
{
    private readonly Lock _lock = new();
    private long _usedByteCount;

    // There while somebody waits for room. Completed for all of them together: each takes what it then reads, and the next look finds it.
    private TaskCompletionSource? _room;

    public long UsedByteCount
    {
        get
        {
            lock (_lock)
            {
                return _usedByteCount;
            }
        }
    }

    /// <summary>Completes while there is room for another request.</summary>
    public Task WhenRoomAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (_usedByteCount < limit)
            {
                return Task.CompletedTask;
            }

            _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _room.Task.WaitAsync(cancellationToken);
        }
    }

    public void Take(int byteCount)
    {
        lock (_lock)
        {
            _usedByteCount += byteCount;
        }
    }

    public void Give(int byteCount)
    {
        TaskCompletionSource? room = null;
        lock (_lock)
        {
            _usedByteCount -= byteCount;
            if (_usedByteCount < limit)
            {
                (room, _room) = (_room, null);
            }
        }

        room?.SetResult();
    }
}
