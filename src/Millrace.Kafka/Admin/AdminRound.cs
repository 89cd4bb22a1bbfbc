using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// One attempt at the items of a call that are still open: it collects what became of each, and decides which of them a further attempt may
/// help. Brokers answer side by side, so that members may be called from any thread.
/// </summary>
internal sealed class AdminRound<TKey, TValue>(ApiKey api, IReadOnlyList<TKey> open, int number)
    where TKey : notnull
{
    /// <summary>So many rounds may find a topic unknown before it counts as one that does not exist: brokers learn of a new one after each other.</summary>
    public const int UnknownTopicRounds = 4;

    private readonly Dictionary<TKey, AdminResult<TValue>> _finished = [];
    private readonly Dictionary<TKey, KafkaException> _retriable = [];
    private readonly Lock _gate = new();

    /// <summary>What this round asks for.</summary>
    public IReadOnlyList<TKey> Open { get; } = open;

    /// <summary>1 for the first attempt. Later ones look at the cluster anew before they choose brokers.</summary>
    public int Number { get; } = number;

    public IReadOnlyDictionary<TKey, AdminResult<TValue>> Finished => _finished;

    /// <summary>The failures that a further attempt may cure; those that are in neither were left out of an answer.</summary>
    public IReadOnlyDictionary<TKey, KafkaException> Retriable => _retriable;

    public void Succeed(TKey key, TValue value)
    {
        lock (_gate)
        {
            _finished[key] = new AdminResult<TValue>(value);
        }
    }

    /// <summary>A broker's answer for one item: nothing happens where it is no error.</summary>
    /// <returns>Whether it was an error.</returns>
    public bool FailOn(ErrorCode error, TKey key, string? message, BrokerConnection broker, ApiKey api)
    {
        if (error == ErrorCode.None)
        {
            return false;
        }

        Fail(key, AdminErrors.Of(error, $"{broker.Address} answered {api} for {Name(key)}", message));
        return true;
    }

    public void Fail(TKey key, KafkaException failure)
    {
        bool isRetriable = AdminErrors.IsWorthARetry(failure)
            && (failure.ErrorCode is not (ErrorCode.UnknownTopicOrPartition or ErrorCode.UnknownTopicId) || Number < UnknownTopicRounds);
        lock (_gate)
        {
            if (isRetriable)
            {
                _retriable[key] = failure;
            }
            else
            {
                _finished[key] = new AdminResult<TValue>(failure);
            }
        }
    }

    /// <summary>Fails what a broker left out of its answer.</summary>
    public void FailLeftOut(IEnumerable<TKey> keys, BrokerAddress address)
    {
        foreach (TKey key in keys)
        {
            FailRest([key], new KafkaProtocolException($"{address} left {Name(key)} out of its answer to {api}."));
        }
    }

    /// <summary>Fails what has no outcome yet.</summary>
    public void FailRest(IEnumerable<TKey> keys, KafkaException failure)
    {
        foreach (TKey key in keys)
        {
            if (!Has(key))
            {
                Fail(key, failure);
            }
        }
    }

    public static string Name(TKey key) => key switch
    {
        string name => $"'{name}'",
        int brokerId => $"broker {brokerId}",
        _ => key.ToString() ?? "",
    };

    private bool Has(TKey key)
    {
        lock (_gate)
        {
            return _finished.ContainsKey(key) || _retriable.ContainsKey(key);
        }
    }
}

/// <summary>Which failures an admin call tries again.</summary>
internal static class AdminErrors
{
    /// <summary>
    /// Kafka's table, with these exceptions: that no election is needed or possible, is the answer; a damaged batch or a disk that failed
    /// stays so for as long as a person has not acted.
    /// </summary>
    public static bool IsWorthARetry(KafkaException failure) => failure.ErrorCode switch
    {
        ErrorCode.ElectionNotNeeded or ErrorCode.PreferredLeaderNotAvailable or ErrorCode.EligibleLeadersNotAvailable => false,
        ErrorCode.CorruptMessage or ErrorCode.KafkaStorageError => false,
        _ => failure.IsTransient,
    };

    public static KafkaBrokerException Of(ErrorCode error, string context, string? message) =>
        new($"{context}: {KafkaErrors.Describe(error)}{(string.IsNullOrEmpty(message) ? "" : $" {message}")}", error);
}
