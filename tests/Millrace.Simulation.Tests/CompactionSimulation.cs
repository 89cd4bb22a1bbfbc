using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;
using Millrace.Log;
using Millrace.Tests;
using Record = Millrace.Kafka.Records.Record;

namespace Millrace.Simulation.Tests;

/// <summary>What is broken on purpose, to show that the simulation can fail.</summary>
internal enum CompactionSabotage
{
    None,

    /// <summary>The disk says that it has flushed, and has not.</summary>
    FlushDoesNothing,

    /// <summary>Offsets go missing before it is written down that they may.</summary>
    ForgetGaps,

    /// <summary>The disk does not say which syncs it has refused.</summary>
    HideRefusals,
}

/// <summary>
/// One seed: a compacted topic with transactions, tombstones, compressed batches, compactions, deleted records, restarts, and crashes at any
/// operation of the disk; and again and again the comparison of what a reader makes of the log with what he makes of all that was appended.
/// </summary>
internal sealed partial class CompactionSimulation
{
    private const string Root = "/data";
    private const int RoundCount = 5;
    private const int StepCount = 60;
    private const int KeyCount = 8;
    private const int ProducersOfRoundCount = 3;

    private static readonly TopicPartition Topic = new("table", 0);

    private readonly CompactionSabotage _sabotage;
    private readonly Random _random;
    private readonly ManualTime _time = new();
    private readonly LogDirectoryOptions _options;
    private readonly CompactionModel _model = new();
    private SimulatedStorage _storage;
    private LogDirectory _directory = null!;
    private PartitionLog _log = null!;
    private int _valueCount;

    // Every round has its own producers: those of earlier ones end what is open, and are silent then.
    private int _round;

    public CompactionSimulation(int seed, CompactionSabotage sabotage)
    {
        _sabotage = sabotage;
        _random = new Random(seed);
        _storage = new SimulatedStorage(_random.Next()) { IgnoresFlushes = sabotage == CompactionSabotage.FlushDoesNothing };
        _storage.HidesRefusedSyncs = sabotage == CompactionSabotage.HideRefusals;
        _refusalChance = Pick(0, 0, 3, 10);
        _options = new LogDirectoryOptions
        {
            Path = Root,
            SegmentByteCount = Pick(150, 400, 1200),
            IndexIntervalByteCount = Pick(0, 300, 4096),
            CommitJournalByteCount = Pick(0, 8192, 65536),
            CommitJournalPieceByteCount = Pick(300, 4000),
        };
    }

    public int CompactionCount { get; private set; }

    public int CrashCount { get; private set; }

    /// <summary>Rounds of the journal.</summary>
    public int JournalRoundCount { get; private set; }

    public HashSet<RecoveryCondition> Findings { get; } = [];

    /// <summary>Returns a hash over every operation of the disk.</summary>
    public ulong Run()
    {
        _directory = LogDirectory.Open(_options, _storage, _time, new Random(_random.Next()), NullLogger.Instance);
        _log = _directory.Create(Topic, Guid.Empty);
        _directory.SetOverrides(Topic.Topic, new Dictionary<string, string>
        {
            ["cleanup.policy"] = "compact",
            ["delete.retention.ms"] = "5000",
            ["segment.ms"] = "9223372036854775807",
            ["file.delete.delay.ms"] = Pick("0", "1000", "100000"),
        });
        Assert();
        for (_round = 0; _round < RoundCount; _round++)
        {
            Work();
            Reopen();
            ReadAgain();
        }

        RequireCleanStop();
        _directory.Dispose();
        return _storage.Hash;
    }

    private void Open()
    {
        _directory = LogDirectory.Open(_options, _storage, _time, new Random(_random.Next()), NullLogger.Instance);
        Require(_directory.TryGet(Topic, out PartitionLog? log), "the partition is there");
        _log = log;
        foreach (RecoveryFinding finding in _directory.Recovery.Findings)
        {
            Findings.Add(finding.Condition);
        }
    }

    private void Assert()
    {
        PartitionLog log = _log;
        Require(log.IsOnline, $"the partition is online, not: {log.OfflineReason}");
        Require(log.LogEndOffset >= _model.Promised, $"the log ends at {log.LogEndOffset}, and {_model.Promised} was acknowledged");
        Require(_mayHaveLost || log.LogEndOffset >= _model.End, $"the log ends at {log.LogEndOffset}, {_model.End} was written, and nothing can have gone");
        _mayHaveLost = false;
        _model.Recovered(log.LogEndOffset);
        Require(log.LogStartOffset >= _model.LogStart, $"the log starts at {log.LogStartOffset}, and records below {_model.LogStart} were deleted");
        _model.LogStart = log.LogStartOffset;
        CheckTable();
    }

    private void Reopen()
    {
        Crash();
        for (int troublesLeft = _random.Next(3); ; troublesLeft--)
        {
            _storage.CrashAfter(troublesLeft > 0 && _random.Next(2) == 0 ? _random.Next(40) : long.MaxValue / 2);
            RefuseInStart(troublesLeft);
            int refusalCount = _storage.RefusalCount;
            try
            {
                Open();
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
        }

        _storage.CrashAfter(long.MaxValue / 2);
        if (_log.IsOnline)
        {
            FaceNoRefusals();
            Assert();
        }
        else
        {
            ComeBack();
        }
    }

    /// <summary>A start that has to read all of the log makes the same of it.</summary>
    private void ReadAgain()
    {
        if (_random.Next(4) > 0)
        {
            return;
        }

        _storage = _storage.Crash(SimulatedCrashKind.ProcessKill);
        _storage.CrashAfter(long.MaxValue / 2);
        _storage.DeleteFile($"{Root}/recovery-point-offset-checkpoint");
        Open();
        Assert();
    }

    private void Work()
    {
        if (_random.Next(10) < 8)
        {
            _storage.CrashAfter(_random.Next(400));
        }

        try
        {
            for (int step = 0; step < StepCount; step++)
            {
                RefuseSome();
                Step();
                if (!_log.IsOnline)
                {
                    ComeBack();
                }
            }

            if (_random.Next(3) == 0)
            {
                if (_directory.Close() || _log.IsOnline)
                {
                    _model.Promised = _model.End;
                }
            }
        }
        catch (SimulatedCrashException)
        {
            // What was on its way into the log may be in it or not: the model learns it at the next start.
        }
    }

    private void Step()
    {
        _time.Advance(TimeSpan.FromMilliseconds(_random.Next(1500)));
        switch (_random.Next(24))
        {
            case < 12:
                Append();
                break;
            case < 17:
                EndTransaction();
                break;
            case < 19:
                Sync();
                break;
            case < 22:
                TryCompact();
                if (_log.IsOnline)
                {
                    CheckTable();
                }

                break;
            case 22:
                _directory.WriteRecoveryPoints();
                _directory.DeleteLeftovers();
                break;
            default:
                DeleteRecords();
                break;
        }
    }

    private void Append()
    {
        long producerId = _random.Next(-1, ProducersOfRoundCount) is >= 0 and int number ? (_round * ProducersOfRoundCount) + number : -1;
        bool isOpen = producerId >= 0 && _model.HasOpenTransaction(producerId);
        bool isTransactional = producerId >= 0 && (isOpen || _random.Next(2) == 0);
        List<(string Key, string? Value)> records = [];
        for (int count = 1 + _random.Next(3); count > 0; count--)
        {
            records.Add(($"k{_random.Next(KeyCount)}", _random.Next(4) == 0 ? null : $"v{_valueCount++}"));
        }

        Offset expected = _model.End;
        byte[] batch = Build(producerId, isTransactional, records);
        _model.Begin(() => _model.Appended(expected, producerId, isTransactional, records));
        AppendResult result = _log.Append(batch, AppendDurability.PageCache);
        if (WasRefused)
        {
            return;
        }

        Require(result is AppendResult.Appended appended && appended.BaseOffset == expected, $"an append goes to {expected}, not: {result}");
        _model.Ended();
    }

    private byte[] Build(long producerId, bool isTransactional, List<(string Key, string? Value)> records)
    {
        var builder = new RecordBatchBuilder(Pick(CompressionCodec.None, CompressionCodec.None, CompressionCodec.Gzip, CompressionCodec.Lz4));
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        foreach ((string key, string? value) in records)
        {
            byte[] bytes = value is null ? [] : Encoding.UTF8.GetBytes(value);
            builder.Append(now, Encoding.UTF8.GetBytes(key), keyIsNull: false, bytes, value is null, headers: null);
        }

        return producerId < 0
            ? builder.Build().ToArray()
            : builder.Build(new ProducerIdentity(producerId, _model.EpochOf(producerId)), _model.NextSequence(producerId), isTransactional).ToArray();
    }

    private void EndTransaction()
    {
        // Nothing at or behind the first that is open can be compacted.
        if (_model.ProducersInTransaction is not { Count: > 0 } open)
        {
            return;
        }

        long producerId = open[_random.Next(open.Count)];

        bool isCommit = _random.Next(2) == 0;
        Offset expected = _model.End;
        bool raisesEpoch = _random.Next(2) == 0;
        var producer = new ProducerIdentity(producerId, (short)(_model.EpochOf(producerId) + (raisesEpoch ? 1 : 0)));
        _model.Begin(() => _model.Marked(expected, producer, isCommit));
        AppendResult result = _log.AppendMarker(producer, isCommit, coordinatorEpoch: 0, raisesEpoch);
        if (WasRefused)
        {
            return;
        }

        Require(result is AppendResult.Appended appended && appended.BaseOffset == expected, $"a marker goes to {expected}, not: {result}");
        _model.Ended();
    }

    private void Sync()
    {
        _log.WantSync();
        if ((_random.Next(2) > 0 || !TryCommit()) && _log.BeginSync() is { } work)
        {
            _log.EndSync(work, work.TryRun());
        }

        if (_log.IsOnline)
        {
            _model.Promised = _log.SyncedOffset;
        }
    }

    /// <summary>By the journal, where that can.</summary>
    private bool TryCommit()
    {
        _directory.Journal.Prepare();
        var round = new RoundTask(_directory.Journal, [_log]);
        if (!round.TryBegin())
        {
            return false;
        }

        round.Run();
        round.End();
        JournalRoundCount += round.Error is null ? 1 : 0;
        return round.Error is null;
    }

    private void TryCompact()
    {
        int refusalCount = _storage.RefusalCount;
        try
        {
            Compact();
        }
        catch (IOException) when (_storage.RefusalCount > refusalCount)
        {
            FailedCompactionCount++;
        }
    }

    private void Compact()
    {
        Sync();
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        if (_log.PlanCleaning(now) is not { } plan)
        {
            return;
        }

        if (_sabotage == CompactionSabotage.ForgetGaps)
        {
            _log.SparseBelow = new Offset(long.MaxValue);
        }

        int stopAfter = _random.Next(3) == 0 ? _random.Next(20) : int.MaxValue;
        var limits = new CleaningLimits(Pick(20, 4000) * KeyOffsets.EntryByteCount, 0.9, 4096, now, () => stopAfter-- <= 0);
        RefuseInCompaction();
        CleaningOutcome outcome = _log.Compact(plan, limits);
        Require(outcome.IsComplete || stopAfter < 0 || WasRefused, "a compaction that nobody stops is complete");
        if (outcome.IsComplete)
        {
            CompactionCount++;
            FaceNoRefusals();
            CheckNewestOnly(_log.CleanedUpTo);
        }
    }

    private void DeleteRecords()
    {
        if (_random.Next(4) == 0)
        {
            // Of what is on the disk: deleted records that the power takes as well take what was known of their producers with them.
            Offset before = _random.Next(3) == 0 ? _log.SyncedOffset : new Offset(_random.NextInt64(_log.SyncedOffset.Value + 1));
            RefuseInDeletion();
            DeleteRecordsResult result = _log.DeleteRecords(before);
            if (_hasFault && result is DeleteRecordsResult.Failed && _log.IsOnline)
            {
                FaceNoRefusals();
                result = _log.DeleteRecords(before);
            }

            if (WasRefused)
            {
                return;
            }

            Require(result is DeleteRecordsResult.Deleted, $"records can be deleted, not: {result}");
            _model.LogStart = _log.LogStartOffset;
        }
    }

    /// <summary>Compares what a reader of committed records makes of the log with what he makes of everything that was appended.</summary>
    private void CheckTable()
    {
        FaceNoRefusals();
        SortedDictionary<string, string> expected = _model.Table(_log.LogStartOffset, _log.LastStableOffset);
        var table = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (Record record in CommittedRecords())
        {
            Require(_model.Has(record), $"the record at {record.Offset} was appended there");
            CompactionModel.Apply(table, CompactionModel.Text(record.Key), record.Value is null ? null : CompactionModel.Text(record.Value));
        }

        Require(expected.SequenceEqual(table), $"the log says {string.Join(' ', table)} and was told {string.Join(' ', expected)}");
        CheckProducers();
    }

    private void CheckNewestOnly(Offset end)
    {
        HashSet<string> keys = [];
        foreach (Record record in CommittedRecords().Where(record => record.Offset < end))
        {
            Require(keys.Add(CompactionModel.Text(record.Key)), $"of each key one record stays below {end}, and at {record.Offset} is another");
        }
    }

    /// <summary>What a reader sees from the log's start on. One that begins anywhere else sees the same from there on.</summary>
    private List<Record> CommittedRecords()
    {
        List<Record> records = CommittedRecords(_log.LogStartOffset);
        Offset middle = _log.LogStartOffset + _random.NextInt64(_log.LastStableOffset - _log.LogStartOffset + 1);
        Require(
            records.Where(record => record.Offset >= middle).Select(static record => record.Offset).SequenceEqual(CommittedRecords(middle).Select(static record => record.Offset)),
            $"a reader from {middle} on sees what another one sees");
        return records;
    }

    /// <summary>As a client reads them: without those of aborted transactions, which the broker names with every read.</summary>
    private List<Record> CommittedRecords(Offset from)
    {
        List<Record> records = [];
        Offset stable = _log.LastStableOffset;
        Offset last = new(-1);
        for (Offset next = from; next < stable;)
        {
            ReadResult result = _log.Read(next, _random.Next(1, 2000), atLeastOneBatch: true, stable, findsAborted: true);
            Require(result is ReadResult.Data { Batches.IsEmpty: false }, $"the log can be read at {next}, not: {result}");
            var data = (ReadResult.Data)result;
            var aborted = new Queue<AbortedTransaction>(data.Aborted.OrderBy(static transaction => transaction.FirstOffset.Value));
            HashSet<long> abortedProducers = [];
            for (ReadOnlyMemory<byte> batches = data.Batches; !batches.IsEmpty;)
            {
                RecordBatchHeader header = RecordBatchHeader.Read(batches.Span);
                Require(header.BaseOffset > last, $"offsets rise, and {header.BaseOffset} follows {last}");
                last = header.LastOffset;
                while (aborted.TryPeek(out AbortedTransaction transaction) && transaction.FirstOffset <= header.LastOffset)
                {
                    abortedProducers.Add(aborted.Dequeue().ProducerId);
                }

                if (EndTransactionMarker.TryRead(batches.Span, out EndTransactionMarker marker) && !marker.IsCommit)
                {
                    abortedProducers.Remove(header.Producer.Id);
                }
                else if (!header.IsControl && !(header.IsTransactional && abortedProducers.Contains(header.Producer.Id)))
                {
                    records.AddRange(RecordBatchReader.Read(batches).Where(record => record.Offset >= from));
                }

                batches = batches[header.TotalByteCount..];
            }

            next = data.NextOffset;
        }

        return records;
    }

    /// <summary>Whatever has become of its records: the next batch of a producer is taken, and none twice, and none of an older epoch.</summary>
    private void CheckProducers()
    {
        IReadOnlyList<ActiveProducer> producers = _log.ActiveProducers();
        foreach (ProducerIdentity producer in _model.Producers)
        {
            int lastSequence = _model.NextSequence(producer.Id) - 1;
            Require(
                producers.Any(known => known.Producer == producer && known.LastSequence == lastSequence),
                $"producer {producer.Id} is known by epoch {producer.Epoch} and sequence {lastSequence}, as: {string.Join(", ", producers)}");
        }
    }

    private void Crash()
    {
        CrashCount++;
        SimulatedCrashKind kind = _random.Next(3) == 0 ? SimulatedCrashKind.ProcessKill : SimulatedCrashKind.PowerLoss;
        _mayHaveLost |= kind == SimulatedCrashKind.PowerLoss;
        _storage = _storage.Crash(kind);
    }

    private T Pick<T>(params ReadOnlySpan<T> choices) => choices[_random.Next(choices.Length)];

    private static void Require([System.Diagnostics.CodeAnalysis.DoesNotReturnIf(false)] bool condition, string what)
    {
        if (!condition)
        {
            throw new SimulationException("It does not hold that " + what);
        }
    }
}
