using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class AbortedTransactionTests
{
    private const string FirstTransactionIndex = LogHarness.Directory + "/00000000000000000000.txnindex";
    private static readonly ProducerIdentity Seven = new(7, 0);
    private static readonly ProducerIdentity Eight = new(8, 0);
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    private readonly LogHarness _harness = LogHarness.WithPartition();

    private PartitionLog Log => _harness.Log;

    [Theory]
    [InlineData(ProducerStatesTests.Restart.None)]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void Those_that_have_records_in_the_range_are_found(ProducerStatesTests.Restart restart)
    {
        // Offsets: seven 0 and 2, its marker 4; eight 1 and 5, its marker 6; seven again 7, committed 8; eight again 9, its marker 10.
        Send(Seven, 0);
        Send(Eight, 0);
        Send(Seven, 1);
        _harness.AppendMany(1);
        End(Seven, isCommit: false);
        Send(Eight, 1);
        End(Eight, isCommit: false);
        Send(Seven, 2);
        End(Seven, isCommit: true);
        Send(Eight, 2);
        End(Eight, isCommit: false);
        ProducerStatesTests.Do(_harness, restart);

        AbortedTransaction first = Aborted(7, 0, 4, stable: 1);
        AbortedTransaction second = Aborted(8, 1, 6, stable: 7);
        AbortedTransaction third = Aborted(8, 9, 10, stable: 11);
        AssertFound(0, 11, first, second, third);
        AssertFound(4, 11, first, second, third);
        AssertFound(5, 11, second, third);
        AssertFound(7, 11, third);
        AssertFound(0, 9, first, second);
        AssertFound(0, 1, first);
        AssertFound(7, 9);
        AssertFound(11, 11);
    }

    [Theory]
    [InlineData(ProducerStatesTests.Restart.None)]
    [InlineData(ProducerStatesTests.Restart.Kill)]
    [InlineData(ProducerStatesTests.Restart.Clean)]
    public void One_that_ends_in_a_later_segment_is_found_from_its_first_record_on(ProducerStatesTests.Restart restart)
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 2 * BatchByteCount);
        harness.Append(Batch(Seven, 0));
        harness.AppendMany(6);
        harness.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
        harness.AppendMany(4);
        harness.Append(Batch(Seven, 1));
        harness.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
        ProducerStatesTests.Do(harness, restart);

        AbortedTransaction first = Aborted(7, 0, 7, stable: 8);
        Assert.Equal([first], harness.Log.AbortedTransactions(Offset.Zero, new Offset(1)));
        Assert.Equal([first], harness.Log.AbortedTransactions(new Offset(3), new Offset(8)));
        Assert.Equal([first, Aborted(7, 12, 13, stable: 14)], harness.Log.AbortedTransactions(Offset.Zero, new Offset(14)));
    }

    [Fact]
    public void The_file_has_Kafkas_layout_and_is_there_from_the_first_on()
    {
        Send(Seven, 0);
        End(Seven, isCommit: true);
        Assert.Empty(_harness.ReadFile(FirstTransactionIndex));
        Send(new ProducerIdentity(0x0102030405060708, 0), 0);
        End(new ProducerIdentity(0x0102030405060708, 0), isCommit: false);
        Assert.Equal(
            "0000" + "0102030405060708" + "0000000000000002" + "0000000000000003" + "0000000000000004",
            Convert.ToHexString(_harness.ReadFile(FirstTransactionIndex)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public void After_a_clean_stop_a_missing_index_is_no_proof_that_nothing_was_aborted(long segment)
    {
        LogHarness harness = WithAbortedTransactions();
        harness.LogDirectory.Close();
        harness.Kill();
        harness.Storage.DeleteFile(PathOf(segment, ".txnindex"));
        harness.Open();
        Assert.Equal(RecoveryAction.Rebuild, harness.Finding(RecoveryCondition.IndexMissing).Action);
        Assert.Equal([Aborted(7, 0, 1, stable: 2), Aborted(7, 4, 5, stable: 6)], harness.Log.AbortedTransactions(Offset.Zero, new Offset(6)));
    }

    [Theory]
    [InlineData(".index", SimulatedCrashKind.ProcessKill)]
    [InlineData(".index", SimulatedCrashKind.PowerLoss)]
    [InlineData(".timeindex", SimulatedCrashKind.ProcessKill)]
    [InlineData(".timeindex", SimulatedCrashKind.PowerLoss)]
    [InlineData(".txnindex", SimulatedCrashKind.ProcessKill)]
    [InlineData(".txnindex", SimulatedCrashKind.PowerLoss)]
    public void A_start_that_is_interrupted_while_it_makes_indexes_anew_is_done_again(string missing, SimulatedCrashKind crash)
    {
        bool wasInterrupted = true;
        for (int operation = 0; wasInterrupted; operation++)
        {
            LogHarness harness = WithAbortedTransactions();
            harness.LogDirectory.Close();
            harness.Kill();
            harness.Edit(PathOf(0, ".txnindex"), static bytes => [.. bytes, 1]);
            harness.Storage.DeleteFile(PathOf(0, missing));
            harness.Storage.SyncDirectory(LogHarness.Directory);
            harness.Storage.CrashAfter(operation);
            wasInterrupted = Xunit.Record.Exception(harness.Open) is SimulatedCrashException;
            harness.Crash(crash);
            harness.Open();
            Assert.Equal([Aborted(7, 0, 1, stable: 2), Aborted(7, 4, 5, stable: 6)], harness.Log.AbortedTransactions(Offset.Zero, new Offset(6)));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_index_that_is_missing_or_stale_is_made_anew(bool isMissing)
    {
        Send(Seven, 0);
        End(Seven, isCommit: false);
        byte[] index = _harness.ReadFile(FirstTransactionIndex);
        _harness.Kill();
        if (isMissing)
        {
            _harness.Storage.DeleteFile(FirstTransactionIndex);
        }
        else
        {
            _harness.Edit(FirstTransactionIndex, static bytes => [.. bytes, 1]);
        }

        _harness.Open();
        RecoveryCondition condition = isMissing ? RecoveryCondition.IndexMissing : RecoveryCondition.IndexStale;
        Assert.Equal(RecoveryAction.Rebuild, _harness.Finding(condition).Action);
        Assert.Equal(index, _harness.ReadFile(FirstTransactionIndex));
        AssertFound(0, 2, Aborted(7, 0, 1, stable: 2));
    }

    [Fact]
    public void A_marker_that_is_cut_off_leaves_the_index_too()
    {
        Send(Seven, 0);
        End(Seven, isCommit: false);
        _harness.Kill();
        _harness.Edit(LogHarness.FirstSegment, static log => log[..^1]);
        _harness.Open();
        Assert.Equal(Offset.Zero, Log.LastStableOffset);
        Assert.Empty(_harness.ReadFile(FirstTransactionIndex));
        End(Seven, isCommit: false);
        AssertFound(0, 2, Aborted(7, 0, 1, stable: 2));
    }

    [Fact]
    public void More_than_a_block_of_entries_is_searched()
    {
        for (int number = 0; number < 100; number++)
        {
            Send(Seven, number);
            End(Seven, isCommit: false);
        }

        for (int number = 0; number < 100; number++)
        {
            AssertFound(2 * number, 2 * number + 2, Aborted(7, 2 * number, 2 * number + 1, stable: 2 * number + 2));
        }
    }

    [Fact]
    public void A_read_brings_what_was_aborted_among_its_batches_and_nothing_else()
    {
        Send(Seven, 0);
        End(Seven, isCommit: false);
        Send(Eight, 0);
        End(Eight, isCommit: true);
        Send(Seven, 1);
        End(Seven, isCommit: false);
        _harness.Sync();
        AbortedTransaction first = Aborted(7, 0, 1, stable: 2);
        AbortedTransaction second = Aborted(7, 4, 5, stable: 6);

        Assert.Equal([first, second], Read(0, 6).Aborted);
        Assert.Equal([first], Read(1, 4).Aborted);
        Assert.Empty(Read(2, 4).Aborted);
        Assert.Equal([second], Read(5, 6).Aborted);
        Assert.Empty(Read(6, 6).Aborted);
        Assert.Empty(Assert.IsType<ReadResult.Data>(Log.Read(Offset.Zero, 10_000, atLeastOneBatch: true, Log.LastStableOffset)).Aborted);

        ReadResult.Data Read(long from, long upTo) => Assert.IsType<ReadResult.Data>(
            Log.Read(new Offset(from), 10_000, atLeastOneBatch: true, new Offset(upTo), findsAborted: true));
    }

    [Fact]
    public void Records_are_not_read_without_the_list_of_those_that_were_aborted()
    {
        Send(Seven, 0);
        End(Seven, isCommit: false);
        _harness.Sync();
        _harness.Edit(FirstTransactionIndex, static bytes => bytes[..^1]);

        Assert.IsType<ReadResult.Data>(Log.Read(Offset.Zero, 10_000, atLeastOneBatch: true, Log.LastStableOffset));
        Assert.IsType<ReadResult.Offline>(Log.Read(Offset.Zero, 10_000, atLeastOneBatch: true, Log.LastStableOffset, findsAborted: true));
        Assert.False(Log.IsOnline);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_list_that_cannot_be_read_is_none_and_takes_the_partition_offline(bool isShort)
    {
        Send(Seven, 0);
        End(Seven, isCommit: false);
        if (isShort)
        {
            _harness.Edit(FirstTransactionIndex, static bytes => bytes[..^1]);
        }
        else
        {
            _harness.Storage.FailNext(SimulatedOperation.Read, ".txnindex");
            _harness.Storage.FailNext(SimulatedOperation.Read, ".txnindex");
        }

        Assert.Null(Log.AbortedTransactions(Offset.Zero, new Offset(2)));
        Assert.False(Log.IsOnline);
        Assert.Null(Log.AbortedTransactions(Offset.Zero, new Offset(2)));
    }

    [Fact]
    public void A_transaction_index_that_cannot_be_written_takes_the_partition_offline_before_its_marker_is_seen()
    {
        Send(Seven, 0);
        _harness.Storage.FailNext(SimulatedOperation.Write, ".txnindex");
        Assert.Equal(AppendRejection.Offline, Assert.IsType<AppendResult.Rejected>(End(Seven, isCommit: false)).Rejection);
        Assert.Equal(new Offset(1), Log.LogEndOffset);
        Assert.Equal(Offset.Zero, Log.LastStableOffset);
    }

    /// <summary>Offsets: seven 0, its marker 1; two others; seven again 4 in the next segment, its marker 5; and one more behind it.</summary>
    private static LogHarness WithAbortedTransactions()
    {
        LogHarness harness = LogHarness.WithPartition(static options => options.SegmentByteCount = 4 * BatchByteCount);
        for (int number = 0; number < 2; number++)
        {
            harness.Append(Batch(Seven, number));
            harness.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
            harness.AppendMany(2);
        }

        harness.AppendMany(1);
        return harness;
    }

    private static string PathOf(long segment, string suffix) => $"{LogHarness.Directory}/{segment:D20}{suffix}";

    private static byte[] Batch(ProducerIdentity producer, int sequence) =>
        LogHarness.Batch(1, producer.Id, producer.Epoch, sequence, isTransactional: true);

    private static AbortedTransaction Aborted(long producerId, long first, long last, long stable) =>
        new(producerId, new Offset(first), new Offset(last), new Offset(stable));

    private AppendResult Send(ProducerIdentity producer, int sequence) => _harness.Append(Batch(producer, sequence));

    private AppendResult End(ProducerIdentity producer, bool isCommit) => Log.AppendMarker(producer, isCommit, coordinatorEpoch: 0);

    [Theory]
    [InlineData("zeros")]
    [InlineData("ones")]
    [InlineData("twice the same")]
    [InlineData("beyond the end")]
    public void By_an_index_that_was_damaged_while_nobody_looked_no_aborted_record_is_taken_for_committed(string damage)
    {
        Send(Seven, 0);
        End(Seven, isCommit: false);
        Send(Seven, 1);
        End(Seven, isCommit: false);
        Assert.True(_harness.LogDirectory.Close());
        byte[] index = _harness.ReadFile(FirstTransactionIndex);
        _harness.Kill();
        _harness.Edit(FirstTransactionIndex, bytes => damage switch
        {
            "zeros" => new byte[bytes.Length],
            "ones" => [.. bytes.Select(static _ => (byte)0xFF)],
            "twice the same" => [.. bytes[..(bytes.Length / 2)], .. bytes[..(bytes.Length / 2)]],
            _ => [.. bytes[..^10], 1, .. bytes[^9..]],
        });
        _harness.Open();
        Assert.Empty(_harness.LogDirectory.Recovery.Findings);

        Assert.IsType<ReadResult.Offline>(Log.Read(Offset.Zero, 1000, atLeastOneBatch: true, Log.LastStableOffset, findsAborted: true));
        Assert.Contains("comes back by itself", Log.OfflineReason, StringComparison.Ordinal);
        _harness.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, _harness.LogDirectory.ReopenDue());
        Assert.Equal(index, _harness.ReadFile(FirstTransactionIndex));
        AssertFound(0, 4, Aborted(7, 0, 1, stable: 2), Aborted(7, 2, 3, stable: 4));
    }

    private void AssertFound(long from, long upTo, params AbortedTransaction[] expected) =>
        Assert.Equal(expected, Log.AbortedTransactions(new Offset(from), new Offset(upTo)));
}
