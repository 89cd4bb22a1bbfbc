using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// Knows up to where a partition of histories holds nothing but what its owner wrote, by the offsets that its writes got. Where they leave
/// something out, somebody else has written, who may be the next owner. A state machine that several writers share.
/// </summary>
/// <param name="next">What follows the record that the owner began with.</param>
internal sealed class OwnWrites(Offset next)
{
    private readonly Lock _gate = new();
    private readonly SortedSet<long> _ahead = [];
    private readonly SortedSet<long> _underWay = [];
    private TaskCompletionSource _changed = NewSignal();
    private long _next = next.Value;
    private long _lastTicket;

    /// <summary>Up to here, everything is the owner's.</summary>
    public Offset Next
    {
        get
        {
            lock (_gate)
            {
                return new Offset(_next);
            }
        }
    }

    /// <summary>A write begins; it ends with <see cref="End"/>, whatever becomes of it.</summary>
    public long Begin()
    {
        lock (_gate)
        {
            _underWay.Add(++_lastTicket);
            return _lastTicket;
        }
    }

    /// <summary>A write is over.</summary>
    /// <param name="ticket">What <see cref="Begin"/> gave.</param>
    /// <param name="offsets">Where its records are, as far as that is known.</param>
    public void End(long ticket, IEnumerable<Offset> offsets)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            _underWay.Remove(ticket);
            _ahead.UnionWith(offsets.Select(offset => offset.Value).Where(offset => offset >= _next));
            Advance();
            changed = _changed;
            _changed = NewSignal();
        }

        changed.SetResult();
    }

    /// <summary>Somebody has looked: up to here nobody else has become the owner.</summary>
    public void Looked(Offset next)
    {
        lock (_gate)
        {
            _next = Math.Max(_next, next.Value);
            _ahead.RemoveWhere(offset => offset < _next);
            Advance();
        }
    }

    /// <summary>
    /// Whether everything up to an offset is the owner's. Waits for the writes that are under way: brokers answer them in their order, and here
    /// the answers may come in another one.
    /// </summary>
    /// <returns>False: somebody else's record is in between, or one of a write whose outcome is not known.</returns>
    public async Task<bool> ReachesAsync(Offset offset, CancellationToken cancellationToken)
    {
        long latest;
        lock (_gate)
        {
            latest = _lastTicket;
        }

        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (_next > offset.Value)
                {
                    return true;
                }

                if (_underWay.Count == 0 || _underWay.Min > latest)
                {
                    return false;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellationToken);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Under the lock.
    private void Advance()
    {
        while (_ahead.Remove(_next))
        {
            _next++;
        }
    }
}
