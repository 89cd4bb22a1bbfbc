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
            Guid topicId = log.HasBeenRead ? log.TopicId : IdOf(log.TopicPartition);
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
    /// <param name="topicPartition">Which.</param>
    /// <param name="topicId">Empty where nobody knows it yet.</param>
    /// <param name="leaderEpoch">In which it begins: above the one that it was offline in.</param>
    internal RecoveredPartition CreateAgain(TopicPartition topicPartition, Guid topicId, int leaderEpoch)
    {
        if (topicId == Guid.Empty)
        {
            return StillOffline($"{PathOf(topicPartition)} is what an interrupted creation has left. It is finished when another partition of {topicPartition.Topic} can be read, which has the id of the topic.");
        }

        try
        {
            return CreateFiles(topicPartition, topicId, LeaderEpochs.First.Begin(leaderEpoch, Offset.Zero));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return StillOffline($"Creating {PathOf(topicPartition)} failed: {exception.Message} {Sentences.AfterDiskError}");
        }

        RecoveredPartition StillOffline(string reason) => new(topicPartition, Guid.Empty) { Producers = new ProducerStates(_settings.MaximumProducerCount), OfflineReason = reason };
    }

    /// <summary>The id that a topic has in those of its partitions that were read. A new one where this is its only partition; empty where another was not read either, which has it.</summary>
    private Guid IdOf(TopicPartition partition)
    {
        Guid[] others = [.. _partitions.Values.Where(log => log.TopicPartition.Topic == partition.Topic && log.TopicPartition != partition).Select(static log => log.TopicId)];
        if (others.Length > 0)
        {
            return Array.Find(others, static id => id != Guid.Empty);
        }

        Span<byte> id = stackalloc byte[16];
        lock (_creationLock)
        {
            _random.NextBytes(id);
        }

        return new Guid(id);
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
