using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <content>Syncs by the journal, of several partitions at a time.</content>
internal sealed partial class LogCrashSimulation
{
    private static readonly string[] JournalFiles = [$"{Root}/commit-journal.0", $"{Root}/commit-journal.1"];

    /// <summary>Rounds that have acknowledged something.</summary>
    public int JournalRoundCount { get; private set; }

    private bool IsInRound(PartitionLog log) => _round?.Logs.Contains(log) == true;

    /// <summary>Begins a round, or ends the one that is in flight; and does what flushers do when nobody waits.</summary>
    private void MoveRound()
    {
        if (_random.Next(6) == 0)
        {
            Age();
        }

        if (_round is not null)
        {
            if (_random.Next(4) > 0)
            {
                InjectJournalFault();
                EndRound();
            }

            return;
        }

        MakeJournal();
        Store();

        // In an order of their own: that of the directory is another one in each process, and so would be what chance gives to whom.
        List<PartitionLog> queued =
        [
            .. _directory.Partitions.OrderBy(static log => log.TopicPartition.Partition)
                .Where(log => log.IsOnline && !_syncsInFlight.ContainsKey(log.TopicPartition) && _random.Next(4) > 0),
        ];
        queued.ForEach(static log => log.WantSync());
        var round = new RoundTask(_directory.Journal, queued);
        if (round.TryBegin())
        {
            _round = round;
            foreach (PartitionLog log in round.Logs)
            {
                _models[log.TopicPartition].SyncBegan();
            }
        }
    }

    /// <summary>What is in the journal gets old, and housekeeping comes, whether a round is in flight or not.</summary>
    private void Age()
    {
        _time.Advance(TimeSpan.FromSeconds(30));
        _directory.Journal.StoreOld();
    }

    /// <summary>Once it was wanted.</summary>
    private void MakeJournal()
    {
        _ = new RoundTask(_directory.Journal, []).TryBegin();
        while (_directory.Journal.WantsPreparation)
        {
            _directory.Journal.Prepare();
        }
    }

    private void InjectJournalFault()
    {
        SimulatedOperation? operation = _random.Next(60) switch
        {
            0 => SimulatedOperation.Write,
            1 => SimulatedOperation.SyncData,
            _ => null,
        };
        if (operation is { } failing)
        {
            _storage.FailNext(failing, JournalFiles[_random.Next(2)]);
            _hasFault = true;
        }
    }

    private void EndRound()
    {
        RoundTask round = _round!;
        _round = null;
        List<PartitionLog> logs = [.. round.Logs];
        round.Run();
        round.End();
        JournalRoundCount += round.Error is null ? 1 : 0;
        foreach (PartitionLog log in logs)
        {
            PartitionModel model = _models[log.TopicPartition];
            if (log.IsOnline && round.Error is null)
            {
                model.SyncEnded(log.SyncedOffset, Require);
            }
            else
            {
                model.SyncFailed();
                Require(!log.IsOnline || log.IsSyncQueued, "what the journal could not take is synced in the files");
            }
        }
    }

    /// <summary>Begins to sync what the journal has in the files of a partition.</summary>
    private void Store()
    {
        if (_directory.Journal.TakeToStore() is { } log && !_syncsInFlight.ContainsKey(log.TopicPartition) && log.BeginStore() is { } work)
        {
            _syncsInFlight.Add(log.TopicPartition, work);
            _models[log.TopicPartition].SyncBegan();
        }
    }
}
