using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Millrace.Kafka.Records;

/// <summary>Checks that stay on in Release: going on after one fails would turn a defect into lost records.</summary>
public static class Invariant
{
    /// <param name="condition">What must be true.</param>
    /// <param name="what">What it says, for whoever reads the report; the condition's own text where it is left out.</param>
    /// <exception cref="InvalidOperationException">It is false.</exception>
    public static void Holds([DoesNotReturnIf(false)] bool condition, [CallerArgumentExpression(nameof(condition))] string? what = null)
    {
        if (!condition)
        {
            Fail(what);
        }
    }

    [DoesNotReturn]
    private static void Fail(string? what) =>
        throw new InvalidOperationException($"A defect in Millrace, please report it: it does not hold that {what}.");
}
