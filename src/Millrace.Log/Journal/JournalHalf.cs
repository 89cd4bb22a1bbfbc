using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// One of the two files of the journal, and the partitions that need it: those that have something in it which their own segments may lack. Guarded by the journal's lock, but for
/// the file's content.
/// </summary>
internal sealed class JournalHalf(string path)
{
    private readonly Dictionary<PartitionLog, JournalDebt> _debts = [];

    public string Path => path;

    /// <summary>Null until it is made.</summary>
    public IStorageFile? File { get; set; }

    /// <summary>Up to where it was written and synced once: a sync of bytes below writes them and nothing else.</summary>
    public long Capacity { get; set; }

    /// <summary>The capacity that it is to have.</summary>
    public long WantedCapacity { get; set; }

    /// <summary>Where the next round goes.</summary>
    public long Position { get; private set; }

    /// <summary>Rises each time that a half is begun.</summary>
    public long Generation { get; private set; }

    /// <summary>Whether rounds of an earlier use stand where the next one goes, at its beginning.</summary>
    public bool BeginsOverEarlierUse { get; private set; }

    /// <summary>When the first round since then was written.</summary>
    public long FirstRoundAt { get; set; }

    public IReadOnlyCollection<PartitionLog> Debtors => _debts.Keys;

    public void Begin(long generation)
    {
        Position = 0;
        BeginsOverEarlierUse = Generation > 0;
        Generation = generation;
    }

    public void Written(JournalRound round)
    {
        Position += round.PaddedByteCount;
        BeginsOverEarlierUse = false;
        foreach (PieceOfLog piece in round.Pieces)
        {
            _debts[piece.Log] = new JournalDebt(piece.EndOffset, piece.LogGeneration);
        }
    }

    public bool Owes(PartitionLog log) => _debts.TryGetValue(log, out JournalDebt debt) && log.Owes(debt);

    /// <summary>Whether every partition has in its own segments what is in here.</summary>
    public bool TrySettle()
    {
        foreach ((PartitionLog log, JournalDebt debt) in _debts)
        {
            if (!log.Owes(debt))
            {
                // A dictionary may be taken from while it is gone through.
                _debts.Remove(log);
            }
        }

        return _debts.Count == 0;
    }
}

/// <summary>What a partition's own segments may lack.</summary>
/// <param name="EndOffset">Up to there the journal has it.</param>
/// <param name="LogGeneration">Of the log when it was written. A log that came back since has it.</param>
internal readonly record struct JournalDebt(Offset EndOffset, int LogGeneration);
