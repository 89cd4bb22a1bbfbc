namespace Millrace;

/// <summary>How long a failed message waits before it is tried again.</summary>
public sealed record Backoff
{
    private static readonly TimeSpan s_longest = TimeSpan.FromDays(1);
    private static readonly TimeSpan s_defaultMaximum = TimeSpan.FromMinutes(5);

    private Backoff(TimeSpan first, double factor, TimeSpan maximum, double jitter)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(first, TimeSpan.FromMilliseconds(1));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, s_longest);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximum, first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maximum, s_longest);
        if (!(factor is >= 1 and <= 100)) throw new ArgumentOutOfRangeException(nameof(factor), factor, "The factor goes from 1 to 100.");
        if (!(jitter is >= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(jitter), jitter, "The jitter goes from 0 to 1.");
        First = first;
        Factor = factor;
        Maximum = maximum;
        Jitter = jitter;
    }

    /// <summary>The wait before the first retry.</summary>
    public TimeSpan First { get; }

    /// <summary>By how much each wait is longer than the one before it.</summary>
    public double Factor { get; }

    /// <summary>The longest wait, before the jitter.</summary>
    public TimeSpan Maximum { get; }

    /// <summary>The part of a wait that is left to chance, either way: 0.2 makes 10 s anything from 8 s to 12 s.</summary>
    public double Jitter { get; }

    /// <summary>Waits that grow: the first, and each further one by the factor longer, up to the maximum.</summary>
    /// <param name="first">The wait before the first retry. From 1 ms to 1 day.</param>
    /// <param name="factor">By how much each wait is longer than the one before it. Default: 2. From 1 to 100.</param>
    /// <param name="maximum">The longest wait. Default: 5 minutes, or <paramref name="first"/> if that is longer. Up to 1 day.</param>
    /// <param name="jitter">
    /// The part of a wait that is left to chance, either way, so that what failed together is not tried again together.
    /// Default: 0.2. From 0 to 1.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public static Backoff Exponential(TimeSpan first, double factor = 2, TimeSpan? maximum = null, double jitter = 0.2) =>
        new(first, factor, maximum ?? (first > s_defaultMaximum ? first : s_defaultMaximum), jitter);

    /// <summary>Waits of one length.</summary>
    /// <param name="delay">The wait. From 1 ms to 1 day.</param>
    /// <param name="jitter">The part of it that is left to chance, either way. Default: 0.2. From 0 to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public static Backoff Constant(TimeSpan delay, double jitter = 0.2) => new(delay, 1, delay, jitter);

    /// <summary>The wait after a failure.</summary>
    /// <param name="failure">Which failure, from 1.</param>
    /// <param name="chance">From 0 to 1.</param>
    internal TimeSpan DelayAfter(int failure, double chance)
    {
        double ticks = Math.Min(First.Ticks * Math.Pow(Factor, failure - 1), Maximum.Ticks);
        return TimeSpan.FromTicks((long)(ticks * (1 - Jitter + (2 * Jitter * chance))));
    }
}
