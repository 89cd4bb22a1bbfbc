namespace Millrace.Kafka;

/// <summary>The client's one source of chance, shared by its threads.</summary>
internal sealed class Chance(Random random)
{
    private readonly Lock _gate = new();

    /// <summary>At least 0, less than <paramref name="bound"/>.</summary>
    public int Next(int bound)
    {
        lock (_gate)
        {
            return random.Next(bound);
        }
    }

    /// <summary>At least 0, less than 1.</summary>
    public double NextFraction()
    {
        lock (_gate)
        {
            return random.NextDouble();
        }
    }
}
