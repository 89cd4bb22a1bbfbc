namespace Millrace;

/// <summary>What an endpoint does with a message whose handler threw, by the exception's type.</summary>
/// <remarks>
/// <para>The rule of the most specific type counts: that of the exception itself, else of its nearest base type. What no
/// rule names is retried as <see cref="MessagingOptions.MaxRetries"/>, <see cref="MessagingOptions.RetryDelay"/> and
/// <see cref="MessagingOptions.MaxRetryDelay"/> say, and is then a dead letter. A message that cannot be read
/// (<see cref="UnreadableMessageException"/>) is a dead letter at once, unless a rule names that type.</para>
/// <para>While a message waits for its retry its key waits, and holds no slot; other keys go on. Once it is a dead letter,
/// its key goes on. The attempts of a message are counted together, whatever each failed with, by the process that has
/// the message: they begin again when its partition moves.</para>
/// </remarks>
/// <example><code>
/// endpoint.Failures
///     .On&lt;TimeoutException&gt;().Retry(5, Backoff.Exponential(TimeSpan.FromMilliseconds(200))).ThenDeadLetter()
///     .On&lt;ArgumentException&gt;().DeadLetter();
/// </code></example>
public sealed class FailurePolicies
{
    private readonly List<FailureRule> _rules = [];

    internal FailurePolicies()
    {
    }

    /// <summary>Says what follows an exception of a type, or of a type derived from it.</summary>
    /// <typeparam name="TException">The type.</typeparam>
    public FailureRule On<TException>()
        where TException : Exception
    {
        FailureRule rule = new(this, typeof(TException));
        _rules.Add(rule);
        return rule;
    }

    /// <summary>Says what follows every exception that no other rule names.</summary>
    public FailureRule OnAnyException() => On<Exception>();

    /// <summary>Reads the rules; what is wrong with them goes to <paramref name="problems"/>.</summary>
    internal Dictionary<Type, FailurePolicy> Build(string endpoint, DeliveryMode delivery, List<string> problems)
    {
        Dictionary<Type, FailurePolicy> policies = [];
        foreach (FailureRule rule in _rules)
        {
            string name = $"On<{rule.ExceptionType.Name}>() of the endpoint '{endpoint}'";
            if (rule.Policy is null)
                problems.Add($"{name} says nothing. End it with .DeadLetter(), or with .Retry(count, backoff).ThenDeadLetter().");
            else if (!policies.TryAdd(rule.ExceptionType, rule.Policy))
                problems.Add($"{name} stands there twice. Keep one.");
        }

        if (_rules.Count > 0 && delivery == DeliveryMode.AtMostOnce)
            problems.Add($"The endpoint '{endpoint}' delivers at most once and has rules for failures: nothing is retried there. Remove the rules, or deliver at least once.");
        return policies;
    }
}

/// <summary>The beginning of a rule: which exception.</summary>
public sealed class FailureRule
{
    private readonly FailurePolicies _policies;

    internal FailureRule(FailurePolicies policies, Type exceptionType)
    {
        _policies = policies;
        ExceptionType = exceptionType;
    }

    internal Type ExceptionType { get; }

    internal FailurePolicy? Policy { get; private set; }

    /// <summary>Tries the message again.</summary>
    /// <param name="count">How often, beside the first attempt. From 1 to 1,000.</param>
    /// <param name="backoff">How long it waits before each.</param>
    /// <exception cref="ArgumentOutOfRangeException">The count is out of its range.</exception>
    public RetryRule Retry(int count, Backoff backoff)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, FailurePolicy.MaxRetryCount);
        ArgumentNullException.ThrowIfNull(backoff);
        return new RetryRule(this, new FailurePolicy(count, backoff));
    }

    /// <summary>Makes the message a dead letter at once.</summary>
    /// <returns>The endpoint's rules.</returns>
    public FailurePolicies DeadLetter() => End(FailurePolicy.DeadLetterAtOnce);

    internal FailurePolicies End(FailurePolicy policy)
    {
        Policy = policy;
        return _policies;
    }
}

/// <summary>The middle of a rule: what follows the last retry.</summary>
public sealed class RetryRule
{
    private readonly FailureRule _rule;
    private readonly FailurePolicy _policy;

    internal RetryRule(FailureRule rule, FailurePolicy policy)
    {
        _rule = rule;
        _policy = policy;
    }

    /// <summary>Makes the message a dead letter when its last retry has failed.</summary>
    /// <returns>The endpoint's rules.</returns>
    public FailurePolicies ThenDeadLetter() => _rule.End(_policy);
}
