using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Millrace;

/// <summary>What must hold whatever happens. The checks stay on in Release builds.</summary>
internal static class Invariant
{
    public static void Holds(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string? expression = null)
    {
        if (!condition) Fail(expression);
    }

    [DoesNotReturn]
    private static void Fail(string? expression) =>
        throw new InvalidOperationException($"An invariant of Millrace does not hold: {expression}. This is a bug in Millrace.");
}
