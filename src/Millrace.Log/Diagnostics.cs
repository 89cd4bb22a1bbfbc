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
        _ = TryAdd(JournalRounds, 1);
        _ = TryAdd(JournalPieces, pieceCount);
        _ = TryAdd(JournalBytes, byteCount);
    }

    public static void Compacted(CleaningOutcome outcome)
    {
        _ = TryAdd(CompactionReadBytes, outcome.ReadByteCount);
        _ = TryAdd(CompactionWrittenBytes, outcome.WrittenByteCount);
    }

    public static void FoundUncleanable() => _ = TryAdd(Uncleanables, 1);

    /// <summary>Listeners are the application's: one that throws ends no thread of the log.</summary>
    private static bool TryAdd(Counter<long> counter, long value)
    {
        try
        {
            counter.Add(value);
            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }
}
