namespace Millrace.Kafka;

/// <summary>
/// The brokers that have refused the client, shared by all its connections: none of them is asked again before a pause is over, which grows, so that a wrong password does
/// not become a flood of attempts, each of which a broker may count.
/// </summary>
internal sealed class AuthenticationRefusals(TimeProvider time, Chance chance)
{
    public static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    private readonly Backoff _pauses = new(FirstPause, LongestPause, chance);
    private readonly Dictionary<BrokerAddress, Refusal> _byBroker = [];
    private readonly Lock _gate = new();

    private readonly record struct Refusal(KafkaAuthenticationException Failure, int Count, long Since, TimeSpan Pause);

    /// <summary>Why the broker is not to be asked now; null if it may be.</summary>
    public KafkaAuthenticationException? Find(BrokerAddress broker)
    {
        lock (_gate)
        {
            return _byBroker.TryGetValue(broker, out Refusal refusal) && time.GetElapsedTime(refusal.Since) < refusal.Pause ? refusal.Failure : null;
        }
    }

    /// <summary>How long the broker is not to be asked.</summary>
    public TimeSpan RestOf(BrokerAddress broker)
    {
        lock (_gate)
        {
            return _byBroker.TryGetValue(broker, out Refusal refusal) ? refusal.Pause - time.GetElapsedTime(refusal.Since) : TimeSpan.Zero;
        }
    }

    public TimeSpan Add(BrokerAddress broker, KafkaAuthenticationException failure)
    {
        lock (_gate)
        {
            int count = _byBroker.TryGetValue(broker, out Refusal before) ? before.Count + 1 : 1;
            TimeSpan pause = _pauses.After(count);
            _byBroker[broker] = new Refusal(failure, count, time.GetTimestamp(), pause);
            return pause;
        }
    }

    public void Clear(BrokerAddress broker)
    {
        lock (_gate)
        {
            _byBroker.Remove(broker);
        }
    }
}
