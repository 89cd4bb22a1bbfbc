using System.Globalization;

namespace Millrace.Cli.Plan;

/// <summary>
/// Amounts as people write them: <c>200MB/s</c>, <c>1KiB</c>, <c>7d</c>. KB, MB, ... are powers of 1,000, as networks and disks are sold; KiB, MiB, ... are powers of 1,024;
/// bit, kbit, Mbit, Gbit and Gbps are an eighth of a byte.
/// </summary>
internal static class Quantities
{
    private static readonly (string Unit, double Factor)[] s_bytes =
    [
        ("B", 1), ("KB", 1e3), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15),
        ("KiB", 1024), ("MiB", 1048576), ("GiB", 1073741824), ("TiB", 1099511627776), ("PiB", 1125899906842624),
    ];

    private static readonly (string Unit, double Factor)[] s_bits =
        [("kbit", 125), ("Mbit", 125e3), ("Gbit", 125e6), ("kbps", 125), ("Mbps", 125e3), ("Gbps", 125e6)];

    private static readonly (string Unit, double Factor)[] s_times =
        [("ms", 0.001), ("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86400), ("w", 604800)];

    public static bool TryParseSize(string text, out double bytes, out string error) =>
        TryParse(text, s_bytes, "a size, for example 1KB, 16MiB or 4TB", out bytes, out error);

    public static bool TryParseDuration(string text, out TimeSpan duration, out string error)
    {
        duration = default;
        if (!TryParse(text, s_times, "a time, for example 36h, 7d or 2w", out double seconds, out error))
        {
            return false;
        }

        if (seconds > TimeSpan.FromDays(36_500).TotalSeconds)
        {
            error = $"'{text}' is more than a hundred years.";
            return false;
        }

        duration = TimeSpan.FromSeconds(seconds);
        return true;
    }

    /// <summary>Bytes a second, with or without /s behind bits.</summary>
    public static bool TryParseRate(string text, out double bytesPerSecond, out string error)
    {
        const string example = "a rate, for example 200MB/s, 50MiB/s or 10Gbit/s";
        string trimmed = text.Trim();
        bool isPerSecond = trimmed.EndsWith("/s", StringComparison.Ordinal);
        string amount = isPerSecond ? trimmed[..^2] : trimmed;
        bool isBits = s_bits.Any(unit => amount.EndsWith(unit.Unit, StringComparison.Ordinal));
        if (isBits && (isPerSecond || amount.EndsWith("ps", StringComparison.Ordinal)))
        {
            return TryParse(text, amount, s_bits, example, out bytesPerSecond, out error);
        }

        if (isPerSecond)
        {
            return TryParse(text, amount, s_bytes, example, out bytesPerSecond, out error);
        }

        bytesPerSecond = 0;
        error = $"'{text}' is not {example}: it says no time. Write /s at the end.";
        return false;
    }

    public static string Size(double bytes) => Scaled(bytes, [("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1)]);

    public static string Rate(double bytesPerSecond) => $"{Size(bytesPerSecond)}/s";

    public static string Count(double count) => Scaled(count, [("million", 1e6), ("", 1)]).TrimEnd();

    public static string Number(double value) => value.ToString("#,0.##", CultureInfo.InvariantCulture);

    public static string Duration(TimeSpan duration) => duration.TotalHours >= 48 || duration.TotalDays % 1 == 0
        ? $"{Number(duration.TotalDays)} d"
        : duration.TotalHours >= 1 ? $"{Number(duration.TotalHours)} h" : $"{Number(duration.TotalSeconds)} s";

    private static bool TryParse(string text, (string Unit, double Factor)[] units, string example, out double value, out string error) =>
        TryParse(text, text.Trim(), units, example, out value, out error);

    private static bool TryParse(string text, string amount, (string Unit, double Factor)[] units, string example, out double value, out string error)
    {
        value = 0;
        int end = amount.Length;
        while (end > 0 && !char.IsAsciiDigit(amount[end - 1]) && amount[end - 1] != '.')
        {
            end--;
        }

        string unit = amount[end..].Trim();
        if (!HasThousandsOnly(amount.AsSpan(0, end)))
        {
            error = $"'{text}' is not {example}: commas stand between thousands, and a point before decimals.";
            return false;
        }

        bool isNumber = double.TryParse(amount.AsSpan(0, end), NumberStyles.AllowDecimalPoint | NumberStyles.AllowThousands, CultureInfo.InvariantCulture, out double number);
        if (!isNumber || !(number > 0) || double.IsInfinity(number))
        {
            error = $"'{text}' is not {example}: it has to begin with a number above 0.";
            return false;
        }

        foreach ((string known, double factor) in units)
        {
            if (string.Equals(known, unit, StringComparison.Ordinal))
            {
                value = number * factor;
                error = "";
                return true;
            }
        }

        error = unit.Length == 0
            ? $"'{text}' is not {example}: it has no unit. Units are {string.Join(", ", units.Select(known => known.Unit))}."
            : $"'{text}' is not {example}: '{unit}' is no unit of it. Units are {string.Join(", ", units.Select(known => known.Unit))}.";
        return false;
    }

    /// <summary>Whether a comma, if there is one, has three digits behind it each time: <c>1,000</c>, and not <c>2,5</c>, which would be read as 25.</summary>
    private static bool HasThousandsOnly(ReadOnlySpan<char> number)
    {
        int point = number.IndexOf('.');
        ReadOnlySpan<char> whole = point < 0 ? number : number[..point];
        for (int comma = whole.IndexOf(','); comma >= 0; comma = whole.IndexOf(','))
        {
            whole = whole[(comma + 1)..];
            int length = whole.IndexOf(',') is var next && next < 0 ? whole.Length : next;
            if (comma > 3 || length != 3)
            {
                return false;
            }
        }

        return true;
    }

    private static string Scaled(double value, (string Unit, double Factor)[] units)
    {
        foreach ((string unit, double factor) in units)
        {
            if (Math.Abs(value) >= factor)
            {
                return $"{Number(value / factor)} {unit}";
            }
        }

        return $"{Number(value)} {units[^1].Unit}";
    }
}
