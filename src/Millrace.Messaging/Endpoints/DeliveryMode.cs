namespace Millrace;

/// <summary>What an endpoint does when it fails between handling a message and remembering that it did.</summary>
public enum DeliveryMode
{
    /// <summary>
    /// Handle, then commit: after a crash a message may be handled again, with the same
    /// <see cref="MessageContext.IdempotencyKey"/>. Failures are retried in the key's order. The default.
    /// </summary>
    AtLeastOnce,

    /// <summary>
    /// Commit, then handle: no message is ever handled twice, and a crash or a failure may lose those that were under way.
    /// Nothing is retried.
    /// </summary>
    AtMostOnce,
}
