using System.Collections.Frozen;

namespace Millrace;

/// <summary>What follows one kind of failure: a number of retries, and then a dead letter.</summary>
/// <param name="RetryCount">How often the message is tried again.</param>
/// <param name="Backoff">How long it waits before each; null where there is none.</param>
internal sealed record FailurePolicy(int RetryCount, Backoff? Backoff)
{
    public const int MaxRetryCount = 1_000;

    public static FailurePolicy DeadLetterAtOnce { get; } = new(0, null);
}

/// <summary>What follows a failed attempt: a closed set.</summary>
internal abstract record FailureDecision
{
    private FailureDecision()
    {
    }

    public sealed record Retry(TimeSpan Delay) : FailureDecision;

    public sealed record DeadLetter : FailureDecision;
}

/// <summary>The failure policies of one endpoint, as it runs.</summary>
internal sealed class FailureTable
{
    private readonly FrozenDictionary<Type, FailurePolicy> _policies;
    private readonly Chance _chance;

    public FailureTable(IReadOnlyDictionary<Type, FailurePolicy> rules, FailurePolicy otherwise, Chance chance)
    {
        Dictionary<Type, FailurePolicy> policies = new() { [typeof(Exception)] = otherwise, [typeof(UnreadableMessageException)] = FailurePolicy.DeadLetterAtOnce };
        foreach ((Type type, FailurePolicy policy) in rules) policies[type] = policy;
        _policies = policies.ToFrozenDictionary();
        _chance = chance;
    }

    /// <summary>Decides what follows a failed attempt.</summary>
    /// <param name="failure">What the attempt failed with.</param>
    /// <param name="attempt">Which attempt it was, from 1.</param>
    public FailureDecision Decide(Exception failure, int attempt)
    {
        FailurePolicy policy = PolicyOf(failure.GetType());
        return attempt <= policy.RetryCount
            ? new FailureDecision.Retry(policy.Backoff!.DelayAfter(attempt, _chance.Next()))
            : new FailureDecision.DeadLetter();
    }

    private FailurePolicy PolicyOf(Type failure)
    {
        for (Type type = failure; ; type = type.BaseType!)
        {
            if (_policies.TryGetValue(type, out FailurePolicy? policy)) return policy;
        }
    }
}
