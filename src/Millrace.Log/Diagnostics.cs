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

    private static readonly Counter<long> JournalRounds =
        Meter.CreateCounter<long>("millrace.log.journal.rounds", "{round}", "Syncs of the journal that partitions share.");

    private static readonly Counter<long> JournalPieces =
        Meter.CreateCounter<long>("millrace.log.journal.pieces", "{piece}", "Syncs of partitions that those have stood for.");

    private static readonly Counter<long> JournalBytes =
        Meter.CreateCounter<long>("millrace.log.journal.written", "By", "Bytes written to the journal.");

    public static void Journaled(int pieceCount, int byteCount)
    {
        JournalRounds.Add(1);
        JournalPieces.Add(pieceCount);
        JournalBytes.Add(byteCount);
    }

    public static void Compacted(CleaningOutcome outcome)
    {
        CompactionReadBytes.Add(outcome.ReadByteCount);
        CompactionWrittenBytes.Add(outcome.WrittenByteCount);
    }

    public static void FoundUncleanable() => Uncleanables.Add(1);
}
