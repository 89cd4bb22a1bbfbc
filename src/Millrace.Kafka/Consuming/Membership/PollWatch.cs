namespace Millrace.Kafka;

/// <summary>
/// Notices an application that has taken records and does not come back for more: a handler that hangs. Whoever waits in a poll, or pauses between
/// polls with nothing in hand, is not late. Thread-safe without a lock, since every poll passes here.
/// </summary>
internal sealed class PollWatch(TimeSpan interval, TimeProvider time)
{
    private const long Nothing = 0;

    private long _handedOutAt;
    private int _isTold;

    /// <summary>A poll begins: what was handed out before is done with. True if the application had been given up.</summary>
    public bool Polled()
    {
        // A full fence, as behind the flag in Look: one of the two sees what the other has written.
        Interlocked.Exchange(ref _handedOutAt, Nothing);
        return Volatile.Read(ref _isTold) != 0 && Interlocked.Exchange(ref _isTold, 0) != 0;
    }

    /// <summary>A poll ends with records.</summary>
    public void HandedOut() => Volatile.Write(ref _handedOutAt, Math.Max(1, time.GetTimestamp()));

    /// <summary>How long the application has been away, if that is too long and nobody was told of it yet.</summary>
    public TimeSpan? Look()
    {
        long handedOutAt = Volatile.Read(ref _handedOutAt);
        if (handedOutAt == Nothing)
        {
            return null;
        }

        TimeSpan elapsed = time.GetElapsedTime(handedOutAt);
        if (elapsed <= interval || Interlocked.Exchange(ref _isTold, 1) != 0)
        {
            return null;
        }

        // A poll that began meanwhile, before the flag, does not know that it has to come back: it would wait for ever with a member that is away.
        bool isBack = Volatile.Read(ref _handedOutAt) != handedOutAt && Interlocked.Exchange(ref _isTold, 0) != 0;
        return isBack ? null : elapsed;
    }

    /// <summary>When it is worth another look, as far as can be said now.</summary>
    public TimeSpan? DueIn()
    {
        long handedOutAt = Volatile.Read(ref _handedOutAt);
        return handedOutAt == Nothing || Volatile.Read(ref _isTold) != 0
            ? null
            : interval - time.GetElapsedTime(handedOutAt) + TimeSpan.FromMilliseconds(1);
    }
}
