namespace Millrace;

/// <summary>The pause before a failed record is tried again: it doubles up to a maximum, give or take a fifth.</summary>
internal sealed class RetryBackoff(TimeSpan initial, TimeSpan maximum, Random random)
{
    private readonly Lock _gate = new();

    public TimeSpan DelayAfter(int attempt)
    {
        double factor;
        // The jitter keeps what failed together from being tried again together.
        lock (_gate) factor = 0.8 + (0.4 * random.NextDouble());
        double doubled = initial.Ticks * Math.Pow(2, Math.Min(attempt - 1, 62));
        return TimeSpan.FromTicks((long)(Math.Min(doubled, maximum.Ticks) * factor));
    }
}
