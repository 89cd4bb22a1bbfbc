namespace Millrace;

/// <summary>The pauses of what is tried again for ever.</summary>
internal sealed class RetryBackoff(Backoff backoff, Chance chance)
{
    public TimeSpan DelayAfter(int failure) => backoff.DelayAfter(failure, chance.Next());
}
