using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What became of one item of a call of <see cref="KafkaAdmin"/>: each topic, partition or group of a call succeeds or fails by itself.</summary>
public record AdminResult
{
    internal AdminResult(KafkaException? failure) => Failure = failure;

    /// <summary>
    /// Why the item failed, after the retries that <see cref="KafkaClientOptions.ApiTimeout"/> allows; null where it succeeded. A
    /// <see cref="KafkaTimeoutException"/> says that the change may have been made.
    /// </summary>
    public KafkaException? Failure { get; }

    /// <summary>Whether the broker did, or answered, what was asked.</summary>
    public bool IsSuccess => Failure is null;

    /// <summary>Kafka's error code, <see cref="ErrorCode.None"/> where the item succeeded or no broker answered.</summary>
    public ErrorCode ErrorCode => Failure?.ErrorCode ?? ErrorCode.None;

    /// <summary>Throws <see cref="Failure"/>, if there is one.</summary>
    /// <exception cref="KafkaException">The item failed.</exception>
    public void ThrowIfFailed()
    {
        if (Failure is not null)
        {
            throw Failure;
        }
    }

    /// <summary>Whether the item succeeded, and what failed otherwise. Never throws.</summary>
    public override string ToString() => Failure is null ? "Succeeded" : FailureText(Failure);

    private protected static string FailureText(KafkaException failure) => $"Failed: {failure.GetType().Name}: {failure.Message}";
}

/// <summary>What became of one item, and what was answered for it.</summary>
/// <typeparam name="TValue">The answer.</typeparam>
public sealed record AdminResult<TValue> : AdminResult
{
    private readonly TValue? _value;

    internal AdminResult(TValue value)
        : base(failure: null) => _value = value;

    internal AdminResult(KafkaException failure)
        : base(failure)
    {
    }

    /// <summary>The answer.</summary>
    /// <exception cref="KafkaException">The item failed: <see cref="AdminResult.Failure"/>.</exception>
    public TValue Value => Failure is null ? _value! : throw Failure;

    /// <summary>The answer, or what failed. Never throws.</summary>
    public override string ToString() => Failure is null ? AdminText.Of(_value) : FailureText(Failure);
}

/// <summary>For callers that want all or an exception.</summary>
public static class AdminResultExtensions
{
    /// <summary>Throws the first failure, if any item failed. Those that succeeded stay as they are.</summary>
    /// <param name="results">The results of one call.</param>
    /// <typeparam name="TKey">What the items are named by.</typeparam>
    /// <typeparam name="TResult">What became of an item.</typeparam>
    /// <exception cref="KafkaException">An item failed.</exception>
    public static void ThrowIfAnyFailed<TKey, TResult>(this IEnumerable<KeyValuePair<TKey, TResult>> results)
        where TResult : AdminResult
    {
        ArgumentNullException.ThrowIfNull(results);
        foreach ((_, TResult result) in results)
        {
            result.ThrowIfFailed();
        }
    }
}

/// <summary>What all brokers of a cluster answered together. A broker that does not answer leaves a gap, which <see cref="Failures"/> names.</summary>
/// <param name="Items">What the brokers that answered listed.</param>
/// <param name="Failures">Why a broker, by its id, did not answer; what it holds is not in <paramref name="Items"/>.</param>
/// <typeparam name="TItem">What is listed.</typeparam>
public sealed record ClusterListing<TItem>(IReadOnlyList<TItem> Items, IReadOnlyDictionary<int, KafkaException> Failures)
{
    /// <summary>Throws the first failure, if any broker did not answer.</summary>
    /// <exception cref="KafkaException">The listing has a gap.</exception>
    public void ThrowIfIncomplete()
    {
        foreach ((_, KafkaException failure) in Failures)
        {
            throw failure;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => AdminText.Record(
        nameof(ClusterListing<TItem>), (nameof(Items), Items), (nameof(Failures), Failures));
}
