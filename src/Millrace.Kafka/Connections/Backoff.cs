namespace Millrace.Kafka;

/// <summary>Pauses that double with each failure up to a limit, each 20 % more or less by chance, so that clients do not march in step (KIP-144, KIP-580).</summary>
internal sealed record Backoff(TimeSpan First, TimeSpan Limit, Chance Chance)
{
    private const double Jitter = 0.2;

    // 2^30 times any first pause is above any limit.
    private const int MaxDoublings = 30;

    /// <summary>The pause after so many failures in a row; nothing after none.</summary>
    public TimeSpan After(int failureCount)
    {
        if (failureCount <= 0)
        {
            return TimeSpan.Zero;
        }

        double doubled = First.TotalMilliseconds * (1L << Math.Min(failureCount - 1, MaxDoublings));
        double bounded = Math.Min(doubled, Limit.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(bounded * (1 - Jitter + (2 * Jitter * Chance.NextFraction())));
    }
}
