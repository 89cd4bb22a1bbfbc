using System.Diagnostics.Metrics;

namespace Millrace.Log;

/// <summary>What the log measures, under the name <c>Millrace.Log</c>. Units are UCUM's.</summary>
internal static class Diagnostics
{
    public const string Name = "Millrace.Log";

    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> CompactionReadBytes =
        Meter.CreateCounter<long>("millrace.log.compaction.read", "By", "Bytes of logs that compactions have read.");

    private static readonly Counter<long> CompactionWrittenBytes =
        Meter.CreateCounter<long>("millrace.log.compaction.written", "By", "Bytes of logs that compactions have written.");

    private static readonly Counter<long> Uncleanables =
        Meter.CreateCounter<long>("millrace.log.compaction.uncleanable", "{partition}", "Partitions that were found not to be compactable.");

    public static void Compacted(CleaningOutcome outcome)
    {
        CompactionReadBytes.Add(outcome.ReadByteCount);
        CompactionWrittenBytes.Add(outcome.WrittenByteCount);
    }

    public static void FoundUncleanable() => Uncleanables.Add(1);
}
