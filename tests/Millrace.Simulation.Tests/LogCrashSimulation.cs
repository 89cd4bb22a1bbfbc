using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;
using Millrace.Log;
using Millrace.Tests;

namespace Millrace.Simulation.Tests;

/// <summary>What is broken on purpose, to show that the simulation can fail.</summary>
internal enum LogCrashSabotage
{
    None,

    /// <summary>The disk says that it has flushed, and has not.</summary>
    FlushDoesNothing,

    /// <summary>The disk says that it has flushed the journal, and has not.</summary>
    JournalFlushDoesNothing,

    /// <summary>What the journal has is not written back at a start.</summary>
    ForgetJournal,

    /// <summary>A sync is reported before it has run.</summary>
    AcknowledgeBeforeSync,

    /// <summary>The disk does not say which syncs it has refused.</summary>
    HideRefusals,
}

internal sealed class SimulationException(string message) : Exception(message);

/// <summary>
/// One seed: several partitions, appends of both durabilities, syncs in flight, rolls, crashes at any operation of the disk, the ones of
/// recovery included; and after every start a comparison with what was promised.
/// </summary>
internal sealed partial class LogCrashSimulation
{
    private const string Root = "/data";
    private const int RoundCount = 4;
    private const int StepCount = 50;
    private const int MaximumPartitionCount = 3;

    private readonly LogCrashSabotage _sabotage;
    private readonly Random _random;
    private readonly LogDirectoryOptions _options;
    private readonly ManualTime _time = new();
    private readonly Dictionary<TopicPartition, PartitionModel> _models = [];
    private readonly Dictionary<TopicPartition, SyncWork> _syncsInFlight = [];
    private SimulatedStorage _storage;
    private LogDirectory _directory = null!;
    private RoundTask? _round;
    private readonly int _roundChance;
    private readonly int _refusalChance;
    private bool _mayHaveLost;
    private bool _hasBegunToClose;
    private bool _hasFault;
    private ulong _eventHash = 17;

    public LogCrashSimulation(int seed, LogCrashSabotage sabotage)
    {
        _sabotage = sabotage;
        _random = new Random(seed);
        _storage = new SimulatedStorage(_random.Next()) { IgnoresFlushes = sabotage == LogCrashSabotage.FlushDoesNothing };
        _storage.IgnoresFlushesOf = sabotage == LogCrashSabotage.JournalFlushDoesNothing ? "commit-journal" : null;
        _storage.HidesRefusedSyncs = sabotage == LogCrashSabotage.HideRefusals;
        _roundChance = Pick(0, 4, 8, 10);
        _refusalChance = Pick(0, 0, 2, 6);
        _options = new LogDirectoryOptions
        {
            Path = Root,
            SegmentByteCount = Pick(700, 2000, 9000),
            IndexIntervalByteCount = Pick(0, 200, 4096),
            MaximumIndexByteCount = Pick(16, 80, 4096),
            MaximumKeptCutCount = 3,
            MaximumOpenFileCount = Pick(1, 4, 100),
            CommitJournalByteCount = Pick(0, 8192, 16384, 65536, 65536),
            CommitJournalPieceByteCount = Pick(300, 1000, 4000),
        };
    }

    public int CrashCount { get; private set; }

    /// <summary>How often a partition that was offline came back.</summary>
    public int ReturnCount { get; private set; }

    /// <summary>What recovery came upon.</summary>
    public Dictionary<(RecoveryCondition Condition, RecoveryAction Action), int> Findings { get; } = [];

    /// <summary>Returns a hash over every operation of the disk and every answer of the log.</summary>
    public ulong Run()
    {
        bool wasClosed = false;
        for (int round = 0; round < RoundCount; round++)
        {
            Start(wasClosed);
            wasClosed = Work();
        }

        Start(wasClosed);
        BringAllBack();
        Inspect(isInUse: true);
        Require(_directory.Close(), "a stop is clean where the disk refuses nothing");
        Require(!JournalFiles.Any(_storage.FileExists), "a clean stop leaves no journal");
        Inspect(isInUse: false);
        _directory.Dispose();
        return _storage.Hash ^ (_eventHash * 31);
    }

    /// <summary>A check of the files finds nothing, whatever they have been through.</summary>
    private void Inspect(bool isInUse)
    {
        List<InspectionFinding> findings = [];
        InspectionSummary summary = LogInspection.Run(_options, _storage, [], findings.Add);
        Require(summary.WasInUse == isInUse, "a check knows whether the directory is in use");

        // Every partition here is made with a topic id of its own.
        findings.RemoveAll(static finding => finding.IsNote || finding.Path.EndsWith("/partition.metadata", StringComparison.Ordinal));
        Require(findings.Count == 0, $"a check finds nothing, not: {string.Join(" ", findings)}");
    }

    private void Start(bool wasClosed, bool refuses = true)
    {
        bool isFirstAttempt = Open(refuses ? _random.Next(3) : 0);
        if (!_hasFault)
        {
            foreach (RecoveryFinding finding in _directory.Recovery.Findings)
            {
                (RecoveryCondition, RecoveryAction) key = (finding.Condition, finding.Action);
                Findings[key] = Findings.GetValueOrDefault(key) + 1;
            }
        }

        Require(_directory.Recovery.WasCleanStop || !(wasClosed && isFirstAttempt), "a clean stop is recognised");

        // A crash in the last operation of a clean stop may leave its marker: everything was on the disk by then.
        Require(_hasBegunToClose || !_directory.Recovery.WasCleanStop, "a crash is no clean stop");
        TakeBackDoubtful();
        foreach (PartitionLog log in _directory.Partitions)
        {
            Require(_models.ContainsKey(log.TopicPartition) || (_hasFault && IsUnfinished(log)), $"{log.TopicPartition} was never asked for");
        }

        foreach (PartitionModel model in _models.Values.ToList())
        {
            CheckAfterStart(model, _directory.Recovery.WasCleanStop, isFirstAttempt);
        }

        // What one has lost that is not back yet is seen when it is.
        _mayHaveLost &= _directory.Partitions.Any(static log => !log.IsOnline);
        _hasBegunToClose = false;
        _hasFault = false;
    }

    /// <summary>True if the first attempt went well.</summary>
    private bool Open(int troublesLeft)
    {
        bool isFirstAttempt = true;
        for (; ; troublesLeft--)
        {
            _storage.CrashAfter(troublesLeft > 0 && _random.Next(2) == 0 ? _random.Next(40) : long.MaxValue / 2);
            RefuseInStart(troublesLeft);
            int refusalCount = _storage.RefusalCount;
            try
            {
                var random = new Random(_random.Next());
                _directory = LogDirectory.Open(_options, _storage, _time, random, NullLogger.Instance);
                RequireNothingUnfinished(refusalCount);
                break;
            }
            catch (SimulatedCrashException)
            {
                Crash();
            }
            catch (LogDirectoryException exception) when (_storage.RefusalCount > refusalCount)
            {
                Require(DiskRefusals.MayFailStart(_storage, refusalCount, Root), $"a start stands what the disk refuses of a partition, and not: {exception.Message}");
                if (_random.Next(2) == 0)
                {
                    Crash();
                }
            }

            isFirstAttempt = false;
        }

        _storage.CrashAfter(long.MaxValue / 2);
        _storage.FailNoMore();
        return isFirstAttempt;
    }

    private void CheckAfterStart(PartitionModel model, bool wasCleanStop, bool isFirstAttempt)
    {
        if (!_directory.TryGet(model.TopicPartition, out PartitionLog? log))
        {
            Require(!model.IsCreated, $"{model.TopicPartition}, whose creation was reported, is there");
            _models.Remove(model.TopicPartition);
            return;
        }

        string name = model.TopicPartition.ToString();
        if (_hasFault && !log.IsOnline)
        {
            // It comes back in a running process, and is looked at then.
            return;
        }

        Require(log.IsOnline, $"{name} is online, not: {log.OfflineReason}");
        if (!model.IsCreated && log.LogEndOffset == Offset.Zero)
        {
            // Nobody was told of it: a process that has died while it brought it back may have made it with the id that others of its topic have.
            model.Finished(log.TopicId);
        }

        Require(log.TopicId == model.TopicId, $"{name} has its topic id");
        Require(wasCleanStop || log.LeaderEpoch > model.Epoch, $"the leader epoch of {name} rises with an unclean start");
        Require(!(wasCleanStop && isFirstAttempt && model.IsCreated) || log.LeaderEpoch == model.Epoch, $"the leader epoch of {name} stays at a clean start");
        Require(log.LeaderEpoch >= model.Epoch, $"the leader epoch of {name} never falls");
        CheckRecovered(model, log, losesNothing: wasCleanStop || !_mayHaveLost);
    }

    private void CheckRecovered(PartitionModel model, PartitionLog log, bool losesNothing)
    {
        string name = model.TopicPartition.ToString();
        Require(log.HighWatermark == log.LogEndOffset && log.SyncedOffset == log.LogEndOffset, $"everything that {name} recovered is visible and synced");
        Require(log.LogEndOffset >= model.Promised, $"{name} ends at {log.LogEndOffset}; {model.Promised} was acknowledged as on the disk");
        Require(!losesNothing || log.LogEndOffset >= model.End, $"{name} ends at {log.LogEndOffset}; {model.End} was written, and nothing can have gone");
        model.Recovered(ReadAll(log), log.LeaderEpoch, Require);
        Mix((ulong)log.LogEndOffset.Value);
        CheckProducers(model, log);
        CheckRead(model, log);
        CheckTimes(model, log);
        CheckTransactions(model, log);
    }

    private void CheckTransactions(PartitionModel model, PartitionLog log)
    {
        Offset stable = model.LastStableOffset(log.HighWatermark);
        Require(log.LastStableOffset == stable, $"the last stable offset of {model.TopicPartition} is {stable}, not {log.LastStableOffset}");
        IEnumerable<(long, Offset)> open = log.OpenTransactions.Select(static open => (open.Producer.Id, open.FirstOffset));
        Require(open.SequenceEqual(model.OpenTransactions), $"the open transactions of {model.TopicPartition} are known");

        var from = new Offset(_random.NextInt64(stable.Value + 1));
        var upTo = new Offset(_random.NextInt64(from.Value, stable.Value + 1));
        IReadOnlyList<AbortedTransaction>? aborted = log.AbortedTransactions(from, upTo);
        if (WasRefused(log))
        {
            return;
        }

        bool isRight = aborted is not null && aborted.SequenceEqual(model.AbortedTransactions(from, upTo));
        Require(isRight, $"the aborted transactions of {model.TopicPartition} from {from} to {upTo} are known");
    }

    private void CheckTimes(PartitionModel model, PartitionLog log)
    {
        long timestamp = model.PickTimestamp(_random);
        TimestampedOffset? found = log.OffsetAtTimestamp(timestamp, log.HighWatermark);
        if (WasRefused(log))
        {
            return;
        }

        TimestampedOffset? expected = model.FirstAt(timestamp, log.HighWatermark);
        Require(found == expected, $"the first record of {model.TopicPartition} at or after {timestamp} is {expected}, not {found}");
        found = log.OffsetOfMaximumTimestamp(log.HighWatermark);
        if (WasRefused(log))
        {
            return;
        }

        expected = model.Latest(log.HighWatermark);
        Require(found == expected, $"the latest record of {model.TopicPartition} is {expected}, not {found}");
    }

    private void CheckProducers(PartitionModel model, PartitionLog log)
    {
        foreach (ModelBatch batch in model.RememberedBatches())
        {
            AppendResult result = log.Append(batch.Bytes.ToArray(), RandomDurability());
            var expected = new AppendResult.Duplicate(batch.BaseOffset, batch.LastOffset, log.LeaderEpoch);
            Require(result == expected, $"a batch of {model.TopicPartition} that is sent again is a duplicate at {batch.BaseOffset}, not {result}");
        }

        foreach (byte[] gap in model.BatchesWithGap(_random))
        {
            AppendResult result = log.Append(gap, RandomDurability());
            Require(result is AppendResult.Rejected { Rejection: AppendRejection.OutOfOrderSequence }, $"a gap in the sequence is refused, not {result}");
        }
    }

    /// <summary>True if it ended in a clean stop.</summary>
    private bool Work()
    {
        _syncsInFlight.Clear();
        _round = null;
        if (_random.Next(10) < 8)
        {
            _storage.CrashAfter(_random.Next(120));
        }

        try
        {
            if (_random.Next(4) > 0)
            {
                MakeJournal();
            }

            for (int step = 0; step < StepCount; step++)
            {
                Step();
            }

            if (_random.Next(2) == 0)
            {
                bool isClean = TryCloseCleanly();
                Crash();
                return isClean;
            }
        }
        catch (SimulatedCrashException)
        {
            // The power went in the middle of a step; what it leaves is looked at after the next start.
        }

        Crash();
        return false;
    }

    private void Step()
    {
        RefuseSome();
        if (_models.Count == 0 || (!IsDiskFull && _models.Count < MaximumPartitionCount && _random.Next(20) == 0))
        {
            Create();
            return;
        }

        PartitionModel model = _models.Values.ElementAt(_random.Next(_models.Count));
        Require(_directory.TryGet(model.TopicPartition, out PartitionLog? log), "a partition that was created is found");
        if (!log.IsOnline)
        {
            ComeBack(model, log);
            return;
        }

        _time.Advance(TimeSpan.FromMilliseconds(1));
        if (_random.Next(80) == 0)
        {
            Delete(model, log);
            return;
        }

        switch (_random.Next(24))
        {
            case < 11:
                Append(model, log);
                break;
            case > 21:
                EndTransaction(model, log);
                break;
            case > 19:
                CheckTransactions(model, log);
                break;
            case < 16:
                MoveSync(model, log);
                break;
            case < 17:
                _directory.WriteRecoveryPoints();
                break;
            case < 18:
                CheckRead(model, log);
                break;
            case < 19:
                CheckTimes(model, log);
                break;
            default:
                CheckProducers(model, log);
                break;
        }

        if (log.IsOnline)
        {
            CheckHighWatermark(model, log);
            model.CheckAcknowledgements(log, Require);
        }
    }

    /// <summary>The operator makes room, or does not; then partitions are tried again whose sync is not still running.</summary>
    private void ComeBack(PartitionModel model, PartitionLog log)
    {
        if (_syncsInFlight.Remove(model.TopicPartition, out SyncWork? work))
        {
            EndSync(model, log, work);
            return;
        }

        if (IsInRound(log))
        {
            EndRound();
            return;
        }

        if (_random.Next(2) == 0)
        {
            _storage.FreeByteCount = long.MaxValue;
        }

        RefuseSome();
        Reopen();
    }

    private void Reopen()
    {
        List<PartitionLog> offline = [.. _directory.Partitions.Where(static log => !log.IsOnline)];
        _time.Advance(TimeSpan.FromMinutes(1));
        _directory.ReopenDue();
        _storage.FailNoMore();
        foreach (PartitionLog reopened in offline.Where(static log => log.IsOnline).OrderBy(static log => log.TopicPartition.Partition))
        {
            ReturnCount++;
            PartitionModel returned = ModelOf(reopened);
            Require(reopened.LeaderEpoch > returned.Epoch, $"the leader epoch of {reopened.TopicPartition} rises when it comes back");
            CheckRecovered(returned, reopened, losesNothing: !_mayHaveLost);
            returned.CheckAcknowledgements(reopened, Require);
        }
    }

    /// <summary>What is left of a creation that was interrupted or refused, and that the start could not look at, has become a partition by coming back.</summary>
    private PartitionModel ModelOf(PartitionLog reopened)
    {
        bool isKnown = _models.TryGetValue(reopened.TopicPartition, out PartitionModel? model);
        Require(isKnown || reopened.LogEndOffset == Offset.Zero, $"{reopened.TopicPartition}, which nobody has created, has no records");
        if (model is null)
        {
            model = new PartitionModel(reopened.TopicPartition, reopened.TopicId, _random.Next());
            _models.Add(reopened.TopicPartition, model);
        }
        else if (!model.IsCreated && reopened.LogEndOffset == Offset.Zero)
        {
            model.Finished(reopened.TopicId);
        }

        return model;
    }

    private void Append(PartitionModel model, PartitionLog log)
    {
        AppendDurability durability = RandomDurability();
        ModelBatch batch = model.Prepare(_random, durability);
        InjectWriteFault();
        byte[] bytes = batch.Unassigned.ToArray();
        AppendResult result = log.Append(bytes, durability);
        if (_hasFault && result is AppendResult.Rejected { Rejection: AppendRejection.Offline })
        {
            // It failed; or the file had been closed for another one, and the sync before that had failed.
            return;
        }

        var expected = new AppendResult.Appended(batch.BaseOffset, batch.LastOffset, LeaderEpoch: model.Epoch);
        Require(result == expected, $"an append to {model.TopicPartition} gives {expected}, not {result}");
        Require(bytes.AsSpan().SequenceEqual(batch.Bytes), "the batch is changed in its offset and epoch only");
        bool isSyncDue = log.IsSyncQueued || _syncsInFlight.ContainsKey(model.TopicPartition) || IsInRound(log);
        Require(durability == AppendDurability.PageCache || isSyncDue, "a batch for the disk asks for a sync");
        model.Appended();
        Mix((ulong)batch.BaseOffset.Value);
    }

    private void InjectWriteFault()
    {
        switch (_random.Next(60))
        {
            case 0:
                _storage.FailNext(SimulatedOperation.Write, ".log");
                _hasFault = true;
                break;
            case 1:
                _storage.FreeByteCount = _random.Next(300);
                _hasFault = true;
                break;
        }
    }

    private void EndTransaction(PartitionModel model, PartitionLog log)
    {
        (ProducerIdentity producer, bool isCommit, ModelBatch batch) = model.PrepareMarker(_random, _time.GetUtcNow().ToUnixTimeMilliseconds());
        AppendResult result = log.AppendMarker(producer, isCommit, coordinatorEpoch: 0);
        if (_hasFault && result is AppendResult.Rejected { Rejection: AppendRejection.Offline })
        {
            return;
        }

        var expected = new AppendResult.Appended(batch.BaseOffset, batch.LastOffset, LeaderEpoch: model.Epoch);
        Require(result == expected, $"a marker in {model.TopicPartition} gives {expected}, not {result}");
        model.Appended();
        Mix((ulong)batch.BaseOffset.Value);
    }

    /// <summary>Begins a sync, or ends the one that is in flight: other steps come between the two.</summary>
    private void MoveSync(PartitionModel model, PartitionLog log)
    {
        if (IsInRound(log) || _random.Next(10) < _roundChance)
        {
            MoveRound();
            return;
        }

        if (!_syncsInFlight.Remove(model.TopicPartition, out SyncWork? work))
        {
            work = log.BeginSync();
            Require(work is not null, "a sync begins where none is running");
            _syncsInFlight.Add(model.TopicPartition, work);
            model.SyncBegan();
            return;
        }

        if (_sabotage == LogCrashSabotage.AcknowledgeBeforeSync)
        {
            log.EndSync(work, error: null);
            model.SyncEnded(log.SyncedOffset, Require);
            work.Run();
            return;
        }

        if (_random.Next(40) == 0)
        {
            _storage.FailNext(SimulatedOperation.SyncData, ".log");
            _hasFault = true;
        }

        EndSync(model, log, work);
    }

    private void EndSync(PartitionModel model, PartitionLog log, SyncWork work)
    {
        bool wasOnline = log.IsOnline;
        Exception? error = work.TryRun();
        log.EndSync(work, error);
        Require(log.IsOnline == (wasOnline && error is null), "a partition goes offline when its sync fails, and then only");
        if (log.IsOnline)
        {
            model.SyncEnded(log.SyncedOffset, Require);
        }
        else if (error is not null && _random.Next(2) == 0)
        {
            foreach (string file in _storage.Peek($"{Root}/{model.TopicPartition}").Select(static entry => entry.Name))
            {
                _storage.DropCleanPages($"{Root}/{model.TopicPartition}/{file}");
            }

            _mayHaveLost = true;
        }

        Mix((ulong)log.SyncedOffset.Value);
    }

    private void CheckHighWatermark(PartitionModel model, PartitionLog log)
    {
        Require(log.HighWatermark <= log.LogEndOffset, "the high watermark is not beyond the end");
        Require(log.HighWatermark == model.HighWatermark, $"the high watermark is {model.HighWatermark}, not {log.HighWatermark}");
    }

    private void CheckRead(PartitionModel model, PartitionLog log)
    {
        if (model.End == Offset.Zero)
        {
            return;
        }

        var from = new Offset(_random.NextInt64(model.End.Value + 1));
        ReadResult result = log.Read(from, _random.Next(2000), atLeastOneBatch: true, log.HighWatermark, findsAborted: true);
        if (WasRefused(log))
        {
            return;
        }

        Require(result is ReadResult.Data, $"a read of {model.TopicPartition} from {from} gives data, not {result}");
        var data = (ReadResult.Data)result;
        ReadOnlyMemory<byte> batches = data.Batches;
        model.CheckServed(from, log.HighWatermark, batches.Span, Require);
        if (!batches.IsEmpty && data.NextOffset <= log.LastStableOffset)
        {
            Require(data.Aborted.SequenceEqual(model.AbortedTransactions(from, data.NextOffset)), $"what was aborted in {model.TopicPartition} from {from} to {data.NextOffset} comes with it");
        }

        Mix(Crc32C.Compute(batches.Span));
    }

    /// <summary>False if a partition is offline, or goes offline by it, or the disk is full.</summary>
    private bool TryCloseCleanly()
    {
        _hasBegunToClose = true;
        foreach ((TopicPartition partition, SyncWork work) in _syncsInFlight)
        {
            Require(_directory.TryGet(partition, out PartitionLog? log), "a partition that syncs is there");
            EndSync(_models[partition], log, work);
        }

        _syncsInFlight.Clear();
        if (_round is not null)
        {
            EndRound();
        }

        bool isClean = _directory.Close();
        foreach (PartitionLog log in _directory.Partitions)
        {
            if (log.IsOnline)
            {
                _models[log.TopicPartition].Closed();
            }
        }

        return isClean;
    }

    private void Crash()
    {
        CrashCount++;
        SimulatedCrashKind kind = _random.Next(3) == 0 ? SimulatedCrashKind.ProcessKill : SimulatedCrashKind.PowerLoss;
        _mayHaveLost |= kind == SimulatedCrashKind.PowerLoss;
        _storage = _storage.Crash(kind);
        _storage.FreeByteCount = long.MaxValue;
        if (kind == SimulatedCrashKind.PowerLoss)
        {
            LoseIndex();
        }

        if (_sabotage == LogCrashSabotage.ForgetJournal)
        {
            Array.ForEach(JournalFiles, _storage.DeleteFile);
        }
    }

    private byte[] ReadAll(PartitionLog log)
    {
        var bytes = new List<byte>();
        Offset next = log.LogStartOffset;
        while (next < log.LogEndOffset)
        {
            ReadResult result = log.Read(next, _random.Next(1, 5000), atLeastOneBatch: true, log.LogEndOffset);
            Require(result is ReadResult.Data { Batches.IsEmpty: false }, $"{log.TopicPartition} can be read at {next}, not: {result}");
            ReadOnlySpan<byte> batches = ((ReadResult.Data)result).Batches.Span;
            bytes.AddRange(batches);
            while (!batches.IsEmpty)
            {
                RecordBatchHeader header = RecordBatchHeader.Read(batches);
                next = header.NextOffset;
                batches = batches[header.TotalByteCount..];
            }
        }

        return [.. bytes];
    }

    private bool IsDiskFull => _storage.FreeByteCount < long.MaxValue / 2;

    private AppendDurability RandomDurability() => _random.Next(2) == 0 ? AppendDurability.Disk : AppendDurability.PageCache;

    private T Pick<T>(params ReadOnlySpan<T> choices) => choices[_random.Next(choices.Length)];

    private void Mix(ulong value) => _eventHash = ulong.RotateLeft((_eventHash ^ value) * 1099511628211, 29);

    private static void Require([System.Diagnostics.CodeAnalysis.DoesNotReturnIf(false)] bool condition, string what)
    {
        if (!condition)
        {
            throw new SimulationException("It does not hold that " + what);
        }
    }
}
