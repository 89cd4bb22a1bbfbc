using System.Globalization;

namespace Millrace.LoadTest;

/// <summary>One figure beside what it is measured against, in the same run.</summary>
/// <param name="Ratio">What the limit is about: mostly <paramref name="Ours"/> to <paramref name="Reference"/>; a scenario that takes another says so.</param>
/// <param name="Limit">What is asked of the ratio, to read; empty where a figure is only reported.</param>
internal sealed record Measurement(string Scenario, double Ratio, double Ours, double Reference, string Unit, string Limit, bool IsReached)
{
    public static Measurement AtLeast(double limit, string scenario, double ours, double reference, string unit) =>
        new(scenario, ours / reference, ours, reference, unit, $"at least {limit.ToString(CultureInfo.InvariantCulture)}", ours / reference >= limit);

    public static Measurement AtMost(double limit, string scenario, double ours, double reference, string unit) =>
        new(scenario, ours / reference, ours, reference, unit, $"at most {limit.ToString(CultureInfo.InvariantCulture)}", ours / reference <= limit);

    public static Measurement Reported(string scenario, double ours, double reference, string unit) =>
        new(scenario, ours / reference, ours, reference, unit, "", IsReached: true);

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"scenario={Scenario} ratio={Ratio:0.###} ours={Ours:0.###} reference={Reference:0.###} unit={Unit}");
}
