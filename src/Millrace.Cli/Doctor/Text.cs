using System.Globalization;

namespace Millrace.Cli.Doctor;

/// <summary>Words and numbers for people.</summary>
internal static class Text
{
    private const int ShownCount = 8;
    private static readonly string[] s_units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    public static string Counted(long count, string noun) => count == 1 ? $"1 {noun}" : $"{count} {noun}s";

    public static string Are(long count) => count == 1 ? "is" : "are";

    public static string Have(long count) => count == 1 ? "has" : "have";

    /// <summary>The first few, and how many more there are.</summary>
    public static string Some<T>(IReadOnlyCollection<T> items) =>
        string.Join(", ", items.Take(ShownCount)) + (items.Count > ShownCount ? $" and {items.Count - ShownCount} more" : "");

    public static string Brokers(IReadOnlyCollection<int> ids) => $"{(ids.Count == 1 ? "broker" : "brokers")} {Some(ids)}";

    public static string Bytes(long count)
    {
        double value = count;
        int unit = 0;
        while (Math.Abs(value) >= 1024 && unit < s_units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#} {s_units[unit]}");
    }

    public static string Duration(TimeSpan duration) => duration switch
    {
        { TotalDays: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{duration.TotalDays:0.#} days"),
        { TotalHours: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{duration.TotalHours:0.#} hours"),
        { TotalMinutes: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{duration.TotalMinutes:0.#} minutes"),
        { TotalSeconds: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{duration.TotalSeconds:0.#} s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{duration.TotalMilliseconds:0} ms"),
    };
}
