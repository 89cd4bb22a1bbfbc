namespace Millrace.Kafka;

/// <summary>What must be true in Release too.</summary>
internal static class Invariant
{
    /// <summary>Throws unless the condition is true.</summary>
    /// <exception cref="InvalidOperationException">It is not.</exception>
    public static void Holds(bool condition, string sentence)
    {
        if (!condition)
        {
            throw new InvalidOperationException($"An invariant of the client is broken: {sentence}.");
        }
    }
}
