using System.Diagnostics;

namespace Millrace;

/// <summary>
/// Activities whose beginning and end never throw. Who listens to them is the application's, or a library's that it uses: where one fails, what was to be traced goes on all the same, and
/// <see cref="Activity.Current"/> is what it would be.
/// </summary>
internal static class QuietActivities
{
    /// <summary>Begins an activity.</summary>
    /// <param name="what">What <paramref name="begin"/> is given.</param>
    /// <param name="begin">Begins it; null where nobody wants it.</param>
    /// <returns>The activity; null also where a listener has failed.</returns>
    public static Activity? Begin<T>(T what, Func<T, Activity?> begin)
    {
        Activity? before = Activity.Current;
        try
        {
            return begin(what);
        }
        catch (Exception)
        {
            Activity.Current = before;
            return null;
        }
    }

    /// <summary>Adds an exception to what is told of an activity.</summary>
    public static void TellException(this Activity activity, Exception failure) => _ = TryTell(activity, failure);

    private static bool TryTell(Activity activity, Exception failure)
    {
        try
        {
            activity.AddException(failure);
            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }

    /// <summary>Ends an activity: to be disposed of in its place.</summary>
    public static Ending Ending(this Activity? activity) => new(activity);
}

/// <inheritdoc cref="QuietActivities.Ending"/>
internal readonly struct Ending(Activity? activity) : IDisposable
{
    private readonly Activity? _before = activity?.Parent;

    public void Dispose() => _ = TryEnd();

    private bool TryEnd()
    {
        try
        {
            activity?.Dispose();
            return true;
        }
        catch (Exception)
        {
            Activity.Current = _before;
            return false;
        }
    }
}
