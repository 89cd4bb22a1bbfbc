namespace Millrace;

/// <summary>The chance of a host's retries, drawn by many at once.</summary>
internal sealed class Chance(Random random)
{
    private readonly Lock _gate = new();

    /// <summary>From 0 to 1.</summary>
    public double Next()
    {
        lock (_gate) return random.NextDouble();
    }
}
