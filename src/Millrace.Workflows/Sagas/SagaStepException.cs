namespace Millrace;

/// <summary>A step of a saga did not succeed. A saga that lets it pass compensates.</summary>
public abstract class SagaStepException : Exception
{
    private protected SagaStepException(string step, string reason, string message)
        : base(message)
    {
        Step = step;
        Reason = reason;
    }

    /// <summary>The name that the saga gave to the step.</summary>
    public string Step { get; }

    /// <summary>The handler's reason.</summary>
    public string Reason { get; }
}

/// <summary>The handler refused the command (<c>Reply.Reject</c>): nothing was done, and there is nothing to undo.</summary>
public sealed class SagaStepRejectedException : SagaStepException
{
    internal SagaStepRejectedException(string step, string reason)
        : base(step, reason, $"Step '{step}' was rejected: {reason}.")
    {
    }
}

/// <summary>The handler's retries are exhausted: whether the command took effect is unknown, so a compensation undoes it.</summary>
public sealed class SagaStepFailedException : SagaStepException
{
    internal SagaStepFailedException(string step, string reason)
        : base(step, reason, $"Step '{step}' failed after its retries, and its outcome is unknown: {reason}.")
    {
    }
}
