using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <content>Partitions that went offline and are to come back.</content>
public sealed partial class LogDirectory
{
    private readonly ReopenSchedule _reopenings;

    // Whoever reopens is alone.
    private string? _reportedJournalDamage;

    /// <summary>
    /// Raised when a partition is online again, on the thread that brought it back, outside of every lock. Whoever listens says of each when its transactions
    /// are settled (<see cref="PartitionLog.AwaitsSettlement"/>).
    /// </summary>
    public event Action<PartitionLog>? CameBack;

    internal bool IsReturnAwaited => CameBack is not null;

    /// <summary>Whether a partition is offline whose next attempt is due.</summary>
    internal bool HasDueReopening => _reopenings.HasDue;

    internal void ReportReturn(PartitionLog log) => CameBack?.Invoke(log);

    internal void WentOffline(PartitionLog log) => _reopenings.WentOffline(log);

    /// <summary>Tries the partitions that are offline and due. Returns how many are online again.</summary>
    internal int ReopenDue()
    {
        int count = 0;
        IReadOnlyList<PartitionLog> due = _reopenings.TakeDue();
        if (due.Count == 0 || !TryReadJournal(due, out JournalReplay? journal))
        {
            return 0;
        }

        using JournalReplay? read = journal;
        foreach (PartitionLog log in due)
        {
            // Before the partition's own locks: a deletion takes them behind that of creations.
            Guid topicId = log.HasBeenRead ? log.TopicId : IdOf(log.TopicPartition.Topic);
            count += log.TryReopen(journal, topicId) ? 1 : 0;
            _reopenings.Tried(log);
            if (log.IsGone)
            {
                _reopenings.Forget(log);
            }
        }

        return count;
    }

    /// <summary>Makes the files of a partition that is known and has none; or says why it stays offline. The lock of its segments is held.</summary>
    /// <param name="leaderEpoch">In which it begins: above the one that it was offline in.</param>
    internal RecoveredPartition CreateAgain(TopicPartition topicPartition, Guid topicId, int leaderEpoch)
    {
        try
        {
            return CreateFiles(topicPartition, topicId, LeaderEpochs.First.Begin(leaderEpoch, Offset.Zero));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new RecoveredPartition(topicPartition, Guid.Empty)
            {
                Producers = new ProducerStates(_settings.MaximumProducerCount),
                OfflineReason = $"Creating {PathOf(topicPartition)} failed: {exception.Message} {Sentences.AfterDiskError}",
            };
        }
    }

    /// <summary>The id that a topic has in those of its partitions that were read, or a new one.</summary>
    private Guid IdOf(string topic)
    {
        Span<byte> id = stackalloc byte[16];
        lock (_creationLock)
        {
            _random.NextBytes(id);
        }

        Guid known = _partitions.Values.Where(log => log.TopicPartition.Topic == topic).Select(static log => log.TopicId).FirstOrDefault(static id => id != Guid.Empty);
        return known == Guid.Empty ? new Guid(id) : known;
    }

    /// <summary>What was acknowledged by the journal and never reached the files of these. Without that they stay as they are.</summary>
    private bool TryReadJournal(IReadOnlyList<PartitionLog> offline, out JournalReplay? journal)
    {
        try
        {
            journal = Journal.ReadFor(offline);
            Report(journal?.Damage, offline);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            LogMessages.JournalUnreadable(_logger, Path, exception.Message);
            journal = null;
            return false;
        }
    }

    /// <summary>As a start does: nobody can tell any more what it held. Told once.</summary>
    private void Report(string? journalDamage, IReadOnlyList<PartitionLog> offline)
    {
        bool isKnown = journalDamage == _reportedJournalDamage || Recovery.Findings.Any(static finding => finding.Condition == RecoveryCondition.JournalDamaged);
        if (journalDamage is null || isKnown)
        {
            return;
        }

        _reportedJournalDamage = journalDamage;
        LogMessages.JournalDamaged(_logger, Path, journalDamage, string.Join(", ", offline.Select(static log => log.TopicPartition)));
    }
}
