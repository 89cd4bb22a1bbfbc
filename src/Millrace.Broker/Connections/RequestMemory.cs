namespace Millrace.Broker;

/// <summary>What a request holds of the <see cref="RequestMemory"/>: nothing, or so many bytes.</summary>
/// <param name="IsBeyondLimit">Whether it is the one that need not wait for room.</param>
internal readonly record struct RequestCharge(int ByteCount, bool IsBeyondLimit);

/// <summary>
/// The memory of the requests that arrive or are worked on, of all connections together (Kafka's <c>queued.max.request.bytes</c>). Each piece of a frame is
/// taken here before it is allocated; where there is no room, its connection is not read from.
/// </summary>
/// <remarks>
/// <para>
/// Frames grow as their bytes arrive. If all the memory were held by some that have begun, and each waited for more, none would ever be whole. So one of them at a time may go beyond the
/// limit, and so may, in its turn, a frame that is larger than the limit: what is held is at most the limit and one request.
/// </para>
/// <para>
/// Who waits comes in the order in which it asked, but for this: a frame that has begun comes before all that have not. The memory that it holds is free only when it is whole.
/// </para>
/// </remarks>
internal sealed class RequestMemory(long limit)
{
    private readonly Lock _lock = new();

    // Guarded by the lock. A connection has one frame that arrives, so that their number bounds both.
    private readonly LinkedList<Waiter> _begun = new();
    private readonly LinkedList<Waiter> _notBegun = new();
    private long _usedByteCount;
    private bool _isOneBeyondLimit;

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

    /// <summary>Adds to what a request holds, if it need not wait.</summary>
    public bool TryTake(ref RequestCharge held, int byteCount)
    {
        lock (_lock)
        {
            if (!IsNext(held) || Grant(held, byteCount) is not { } granted)
            {
                return false;
            }

            held = granted;
            return true;
        }
    }

    /// <summary>What a request holds with so many bytes more, when they are there.</summary>
    /// <exception cref="OperationCanceledException">They are not, and what it held before it still holds.</exception>
    public async Task<RequestCharge> TakeAsync(RequestCharge held, int byteCount, CancellationToken cancellationToken)
    {
        LinkedListNode<Waiter> place;
        lock (_lock)
        {
            if (IsNext(held) && Grant(held, byteCount) is { } granted)
            {
                return granted;
            }

            place = QueueOf(held).AddLast(new Waiter(held, byteCount));
        }

        await using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(
            static (state, token) => ((Action<CancellationToken>)state!)(token), (Action<CancellationToken>)(token => Leave(place, token)));
        return await place.Value.Granted.Task;
    }

    public void Give(RequestCharge held)
    {
        if (held.ByteCount == 0)
        {
            return;
        }

        lock (_lock)
        {
            _usedByteCount -= held.ByteCount;
            _isOneBeyondLimit &= !held.IsBeyondLimit;
            GrantNext();
        }
    }

    private LinkedList<Waiter> QueueOf(RequestCharge held) => held.ByteCount > 0 ? _begun : _notBegun;

    /// <summary>Whether nobody waits who would come before it.</summary>
    private bool IsNext(RequestCharge held) => held.IsBeyondLimit || (_begun.Count == 0 && (held.ByteCount > 0 || _notBegun.Count == 0));

    private RequestCharge? Grant(RequestCharge held, int byteCount)
    {
        bool hasRoom = held.IsBeyondLimit || _usedByteCount + byteCount <= limit;
        bool goesBeyond = !hasRoom && !_isOneBeyondLimit && (held.ByteCount > 0 || byteCount > limit);
        if (!hasRoom && !goesBeyond)
        {
            return null;
        }

        _isOneBeyondLimit |= goesBeyond;
        _usedByteCount += byteCount;
        return new RequestCharge(held.ByteCount + byteCount, held.IsBeyondLimit || goesBeyond);
    }

    private void GrantNext()
    {
        while ((_begun.First ?? _notBegun.First) is { } next && Grant(next.Value.Held, next.Value.ByteCount) is { } granted)
        {
            next.List!.Remove(next);
            next.Value.Granted.SetResult(granted);
        }
    }

    private void Leave(LinkedListNode<Waiter> place, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (place.List is { } queue)
            {
                queue.Remove(place);
                place.Value.Granted.SetCanceled(cancellationToken);

                // What it waited for may have been more than those behind it want.
                GrantNext();
            }
        }
    }

    private sealed class Waiter(RequestCharge held, int byteCount)
    {
        public RequestCharge Held { get; } = held;
        public int ByteCount { get; } = byteCount;

        // Continuations run elsewhere: the lock is held when it completes.
        public TaskCompletionSource<RequestCharge> Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
