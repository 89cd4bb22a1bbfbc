using System.Diagnostics.CodeAnalysis;

namespace Millrace.Log;

/// <summary>Checks that stay on in Release: going on after one fails would turn a defect into lost records.</summary>
internal static class Invariant
{
    public static void Holds([DoesNotReturnIf(false)] bool condition, string what)
    {
        if (!condition)
        {
            Fail(what);
        }
    }

    [DoesNotReturn]
    private static void Fail(string what) => throw new InvalidOperationException($"Defect in the log, please report it: {what} does not hold.");
}
