using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <content>A disk that refuses operations of any kind.</content>
internal sealed partial class CompactionSimulation
{
    private const int MaximumAttemptCount = 20;

    private readonly int _refusalChance;
    private bool _hasFault;
    private bool _mayHaveLost;

    /// <summary>Compactions that the disk has stopped.</summary>
    public int FailedCompactionCount { get; private set; }

    /// <summary>How often the partition came back after it was offline.</summary>
    public int ReturnCount { get; private set; }

    /// <summary>What the disk has refused.</summary>
    public int RefusalCount => _storage.RefusalCount;

    private bool WasRefused => _hasFault && !_log.IsOnline;

    private void RefuseSome()
    {
        if (_random.Next(100) < _refusalChance)
        {
            DiskRefusals.Arm(_storage, _random);
            _hasFault = true;
        }
    }

    private void RefuseInStart(int troublesLeft)
    {
        _storage.FailNoMore();
        if (troublesLeft > 0 && _random.Next(10) < _refusalChance)
        {
            DiskRefusals.Arm(_storage, _random);
            _hasFault = true;
        }
    }

    /// <summary>Of what puts a compacted segment in the place of others.</summary>
    private void RefuseInCompaction()
    {
        if (_refusalChance > 0 && _random.Next(2) == 0)
        {
            SimulatedOperation kind = Pick(
                SimulatedOperation.Rename, SimulatedOperation.Rename, SimulatedOperation.DeleteFile, SimulatedOperation.SyncDirectory, SimulatedOperation.SyncDirectory, SimulatedOperation.SyncData);
            _storage.FailSome(kind, _random.Next(12), _random.Next(3) > 0 ? 1 : 2 + _random.Next(3), kind == SimulatedOperation.SyncDirectory ? $"/{Topic}" : "");
            if (_random.Next(2) == 0)
            {
                // Nor can be put away what does not come into the log.
                _storage.FailSome(SimulatedOperation.DeleteFile, skippedCount: 0, failureCount: 1, FileNames.SwapSuffix);
            }

            _hasFault = true;
        }
    }

    /// <summary>Of what has to be on the disk before records are given up.</summary>
    private void RefuseInDeletion()
    {
        if (_refusalChance > 0 && _random.Next(3) == 0)
        {
            _storage.FailSome(Pick(SimulatedOperation.SyncData, SimulatedOperation.SyncData, SimulatedOperation.SyncDirectory), _random.Next(2), failureCount: 1);
            _hasFault = true;
        }
    }

    /// <summary>From here on what is looked at is the log.</summary>
    private void FaceNoRefusals()
    {
        _storage.FailNoMore();
        _hasFault = false;
    }

    /// <summary>The disk refuses some more, and then nothing; the partition comes back, and is as it was promised.</summary>
    private void ComeBack()
    {
        Require(_hasFault, $"the partition is offline by what the disk refuses, and not: {_log.OfflineReason}");
        if (_random.Next(3) == 0)
        {
            ForgetCleanPages();
        }

        for (int attempt = 0; !_log.IsOnline; attempt++)
        {
            Require(attempt < MaximumAttemptCount, $"the partition comes back once the disk refuses nothing any more, not: {_log.OfflineReason}");
            RefuseInStart(attempt < 2 ? 1 : 0);
            _time.Advance(TimeSpan.FromMinutes(1));
            _directory.ReopenDue();
        }

        ReturnCount++;
        FaceNoRefusals();
        Assert();
    }

    /// <summary>What a failed sync has not written is gone from here on.</summary>
    private void ForgetCleanPages()
    {
        foreach (StorageEntry entry in _storage.Peek($"{Root}/{Topic}"))
        {
            _storage.DropCleanPages($"{Root}/{Topic}/{entry.Name}");
        }

        _mayHaveLost = true;
    }

    /// <summary>A check of the files finds nothing, whatever they have been through.</summary>
    private void RequireCleanStop()
    {
        Require(_directory.Close(), "a stop is clean where the disk refuses nothing");
        List<InspectionFinding> findings = [];
        LogInspection.Run(_options, _storage, [], findings.Add);
        findings.RemoveAll(static finding => finding.IsNote);
        Require(findings.Count == 0, $"a check finds nothing, not: {string.Join(" ", findings)}");
    }
}
