using Millrace.Kafka.Records;

namespace Millrace.Log.Tests.Journal;

/// <summary>What becomes of that which the journal has acknowledged, whatever happens to the machine, the files and the partition.</summary>
public class JournalReplayTests
{
    private const string Segment = LogHarness.FirstSegment;

    private readonly JournalHarness _harness = new();

    [Fact]
    public void A_loss_of_power_takes_nothing_that_the_journal_has()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Commit(_harness.Orders);
        byte[] before = _harness.Log.ReadFile(Segment);
        LosePowerAndFiles();
        Assert.Empty(_harness.Log.ReadFile(Segment));
        _harness.Log.Open();
        Assert.Equal(before, _harness.Log.ReadFile(Segment));
        Assert.Equal((new Offset(2), new Offset(1)), (_harness.Orders.LogEndOffset, _harness.Second.LogEndOffset));
        Assert.Contains(_harness.Log.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.JournalWrittenBack);
        Assert.False(_harness.HasJournal);
        AssertStored();
    }

    [Fact]
    public void The_end_of_the_process_takes_nothing_and_nothing_is_said_of_it()
    {
        _harness.Commit(_harness.Orders);
        _harness.Log.KillAndOpen();
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
        Assert.DoesNotContain(_harness.Log.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.JournalWrittenBack);
        Assert.False(_harness.HasJournal);
        AssertStored();
    }

    [Fact]
    public void A_torn_tail_is_mended_and_what_was_not_acknowledged_behind_it_is_cut()
    {
        _harness.Commit(_harness.Orders);
        int acknowledged = _harness.Log.ReadFile(Segment).Length;
        JournalHarness.Append(_harness.Orders);
        _harness.Log.Kill();
        _harness.Log.Edit(Segment, bytes =>
        {
            bytes[acknowledged / 2] ^= 1;
            bytes[acknowledged + 70] ^= 1;
            return bytes;
        });
        _harness.Log.Open();
        Assert.True(_harness.Orders.IsOnline);
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
        Assert.Equal(acknowledged, _harness.Log.ReadFile(Segment).Length);
    }

    [Fact]
    public void A_segment_that_vanished_is_made_again()
    {
        _harness.Commit(_harness.Orders);
        byte[] before = _harness.Log.ReadFile(Segment);
        _harness.Log.Kill();
        _harness.Storage.DeleteFile(Segment);
        _harness.Log.Open();
        Assert.Equal(before, _harness.Log.ReadFile(Segment));
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
    }

    [Fact]
    public void Crashes_at_every_operation_of_the_start_change_nothing()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        JournalHarness.Store(_harness.Orders);
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Commit(_harness.Second);
        JournalHarness.Append(_harness.Second);
        LosePowerAndFiles();
        int operationCount = _harness.OpenWithCrashes(static number => number % 3 == 0 ? SimulatedCrashKind.ProcessKill : SimulatedCrashKind.PowerLoss);
        Assert.True(operationCount > 10, "a start writes back, and is struck at each of its operations");
        Assert.Equal((new Offset(2), new Offset(3)), (_harness.Orders.LogEndOffset, _harness.Second.LogEndOffset));
        Assert.False(_harness.HasJournal);
    }

    [Fact]
    public void What_is_written_after_a_start_is_never_written_over()
    {
        // The journal has a record that its partition never got to acknowledge, since it went offline and lost it.
        JournalHarness.Append(_harness.Orders);
        RoundTask round = _harness.Begin(_harness.Orders);
        round.Run();
        _harness.Storage.FailNext(SimulatedOperation.Write, Segment);
        Assert.IsType<AppendResult.Rejected>(_harness.Orders.Append(LogHarness.Batch(), AppendDurability.PageCache));
        round.End();
        Assert.Equal(Offset.Zero, _harness.Orders.SyncedOffset);

        // Nobody was told of it: let it come back without, as if the files had lost it.
        using (IStorageFile file = _harness.Storage.Open(Segment, StorageOpenMode.Existing))
        {
            file.SetLength(0);
        }

        foreach (string half in JournalHarness.Halves)
        {
            _harness.Log.WriteFile(half + ".copy", _harness.Log.ReadFile(half));
        }

        CommitJournalTests.ComeBack(_harness);
        int epoch = _harness.Orders.LeaderEpoch;
        Assert.True(epoch > 0);
        JournalHarness.Append(_harness.Orders, valueByteCount: 33);
        SyncWork work = _harness.Orders.BeginSync()!;
        work.Run();
        _harness.Orders.EndSync(work, null);
        byte[] newer = _harness.Log.ReadFile(Segment);

        // The same journal at the next start: its pieces are of the older epoch.
        foreach (string half in JournalHarness.Halves)
        {
            _harness.Log.WriteFile(half, _harness.Log.ReadFile(half + ".copy"));
        }

        _harness.Log.KillAndOpen();
        Assert.Equal(newer, _harness.Log.ReadFile(Segment));
    }

    [Fact]
    public void A_partition_whose_own_sync_fails_gets_back_what_the_journal_has()
    {
        _harness.Commit(_harness.Orders);
        _harness.Commit(_harness.Orders);
        CommitFailingSync();
        Assert.DoesNotContain(_harness.Log.ReadFile(Segment), static value => value != 0);
        CommitJournalTests.ComeBack(_harness);
        Assert.True(_harness.Orders.IsOnline);
        Assert.Equal(new Offset(2), _harness.Orders.LogEndOffset);
        Assert.True(_harness.Orders.IsOnDisk(new Offset(1), 0));
        AssertStored();
    }

    [Fact]
    public void A_partition_stays_offline_while_the_journal_cannot_be_read()
    {
        _harness.Commit(_harness.Orders);
        CommitFailingSync();
        _harness.Storage.FailNext(SimulatedOperation.Open, JournalHarness.Halves[0]);
        CommitJournalTests.ComeBack(_harness);
        Assert.False(_harness.Orders.IsOnline);
        CommitJournalTests.ComeBack(_harness);
        Assert.True(_harness.Orders.IsOnline);
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
    }

    [Fact]
    public void A_partition_that_is_offline_when_the_power_fails_gets_it_back_at_the_next_start()
    {
        _harness.Commit(_harness.Orders);
        CommitFailingSync();
        _harness.Log.LosePower();
        _harness.Log.Open();
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
    }

    [Fact]
    public void A_journal_that_a_start_could_not_write_back_stays_until_it_is()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        LosePowerAndFiles();
        _harness.Storage.FailNext(SimulatedOperation.Write, "orders-0/00000000000000000000.log");
        _harness.Log.Open();
        Assert.False(_harness.Orders.IsOnline);
        Assert.True(_harness.Second.IsOnline);
        Assert.True(_harness.HasJournal);

        // There is no other journal meanwhile.
        JournalHarness.Append(_harness.Second);
        Assert.False(new RoundTask(_harness.Journal, [_harness.Second]).TryBegin());
        Assert.False(_harness.Journal.WantsPreparation);

        // In the running process, or at the next start.
        CommitJournalTests.ComeBack(_harness);
        Assert.True(_harness.Orders.IsOnline);
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
        Assert.True(_harness.Log.LogDirectory.Close());
        Assert.False(_harness.HasJournal);
    }

    [Fact]
    public void A_journal_that_a_start_could_not_write_back_is_there_for_the_next()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        LosePowerAndFiles();
        _harness.Storage.FailNext(SimulatedOperation.SyncData, "orders-0/00000000000000000000.log");
        _harness.Log.Open();
        Assert.False(_harness.Orders.IsOnline);
        _harness.Log.LosePower();
        _harness.Log.Open();
        Assert.Equal((new Offset(1), new Offset(1)), (_harness.Orders.LogEndOffset, _harness.Second.LogEndOffset));
        Assert.False(_harness.HasJournal);
    }

    [Fact]
    public void A_partition_that_does_not_say_which_one_it_is_has_the_journal_kept()
    {
        _harness.Commit(_harness.Orders);
        byte[] metadata = _harness.Log.ReadFile(LogHarness.Directory + "/partition.metadata");
        LosePowerAndFiles();
        _harness.Log.WriteText(LogHarness.Directory + "/partition.metadata", "?");
        _harness.Log.WriteText("/data/recovery-point-offset-checkpoint", "0\n2\norders 0 0\norders 1 0\n");
        _harness.Log.WriteFile(Segment + ".bak", []);
        _harness.Log.Open();
        Assert.True(_harness.HasJournal);
    }

    [Theory]
    [InlineData(SimulatedOperation.Open, "orders-0/partition.metadata")]
    [InlineData(SimulatedOperation.Read, "orders-0/partition.metadata")]
    [InlineData(SimulatedOperation.DeleteFile, "orders-0/left.tmp")]
    public void A_journal_stays_where_a_start_could_not_even_look_at_a_partition(SimulatedOperation operation, string pathSuffix)
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        LosePowerAndFiles();
        _harness.Log.WriteFile(LogHarness.Directory + "/left.tmp", []);
        _harness.Storage.FailNext(operation, pathSuffix);
        _harness.Log.Open();
        Assert.False(_harness.Orders.IsOnline);
        Assert.True(_harness.HasJournal);
        CommitJournalTests.ComeBack(_harness);
        Assert.True(_harness.Orders.IsOnline);
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
    }

    [Fact]
    public void A_journal_that_cannot_be_read_is_no_start()
    {
        _harness.Commit(_harness.Orders);
        LosePowerAndFiles();
        _harness.Storage.FailNext(SimulatedOperation.Open, JournalHarness.Halves[0]);
        LogDirectoryException exception = Assert.Throws<LogDirectoryException>(() => _harness.Log.Open());
        Assert.Contains("commit-journal.0", exception.Message, StringComparison.Ordinal);
        _harness.Log.Kill();
        _harness.Log.Open();
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
    }

    [Fact]
    public void What_a_deleted_topic_had_is_left_out()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Log.LogDirectory.Delete(LogHarness.Orders);
        var newId = new Guid("99999999-4455-6677-8899-aabbccddeeff");
        _harness.Log.LogDirectory.Create(LogHarness.Orders, newId);
        _harness.Log.LosePower();
        _harness.Log.Open();
        Assert.Equal(newId, _harness.Orders.TopicId);
        Assert.Equal((Offset.Zero, new Offset(1)), (_harness.Orders.LogEndOffset, _harness.Second.LogEndOffset));
    }

    [Fact]
    public void Deleted_records_stay_deleted_and_those_behind_them_are_there()
    {
        for (int number = 0; number < 4; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        Assert.IsType<DeleteRecordsResult.Deleted>(_harness.Orders.DeleteRecords(new Offset(2)));
        LosePowerAndFiles();
        _harness.Log.Open();
        Assert.Equal((new Offset(2), new Offset(4)), (_harness.Orders.LogStartOffset, _harness.Orders.LogEndOffset));
    }

    [Fact]
    public void Where_all_records_were_deleted_none_comes_back()
    {
        _harness.Commit(_harness.Orders);
        Assert.IsType<DeleteRecordsResult.Deleted>(_harness.Orders.DeleteRecords(new Offset(1)));
        _harness.Log.LosePower();
        _harness.Log.Open();
        Assert.True(_harness.Orders.IsOnline);
        Assert.Equal((new Offset(1), new Offset(1)), (_harness.Orders.LogStartOffset, _harness.Orders.LogEndOffset));
        Assert.False(_harness.Storage.FileExists(Segment));
    }

    [Fact]
    public void Producers_are_known_by_what_is_written_back()
    {
        JournalHarness.Append(_harness.Orders, sequence: 0);
        JournalHarness.Append(_harness.Orders, sequence: 1);
        _harness.Round(_harness.Orders);
        LosePowerAndFiles();
        _harness.Log.Open();
        Assert.IsType<AppendResult.Duplicate>(_harness.Orders.Append(LogHarness.Batch(producerId: 7, sequence: 1), AppendDurability.Disk));
    }

    [Fact]
    public void Another_setting_does_not_keep_a_start_from_writing_back()
    {
        _harness.Commit(_harness.Orders);
        LosePowerAndFiles();
        _harness.Log.Options.CommitJournalByteCount = 0;
        _harness.Log.Open();
        Assert.Equal(new Offset(1), _harness.Orders.LogEndOffset);
        JournalHarness.Append(_harness.Orders);
        Assert.False(new RoundTask(_harness.Journal, [_harness.Orders]).TryBegin());
        Assert.False(_harness.Journal.WantsPreparation);
    }

    [Fact]
    public void Damage_in_the_middle_of_the_journal_is_told()
    {
        for (int number = 0; number < 3; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        LosePowerAndFiles();
        _harness.Storage.FlipBit(JournalHarness.Halves[0], 4096 + 100);
        _harness.Log.Open();
        Assert.Contains(_harness.Log.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.JournalDamaged);
        Assert.True(_harness.Orders.IsOnline);
    }

    [Fact]
    public void Rounds_of_both_halves_are_written_back_in_their_order()
    {
        // Half 0, half 1, half 0 again.
        for (int number = 0; number < 4; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        _harness.Commit(_harness.Orders, _harness.Second);
        JournalHarness.Store(_harness.Orders);
        for (int number = 0; number < 5; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        LosePowerAndFiles();
        _harness.Log.Open();
        Assert.Equal((new Offset(10), new Offset(1)), (_harness.Orders.LogEndOffset, _harness.Second.LogEndOffset));
        Assert.DoesNotContain(_harness.Log.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.JournalDamaged);
    }

    [Fact]
    public void A_round_over_those_of_an_earlier_use_of_which_a_loss_of_power_leaves_a_part_is_no_damage()
    {
        const int PowerLossCount = 100;
        for (int operationCount = 0; ; operationCount++)
        {
            JournalHarness harness = new();
            for (int number = 0; number < 8; number++)
            {
                harness.Commit(harness.Orders);
            }

            // The first half is begun once more, with a round of two blocks.
            JournalHarness.Store(harness.Orders);
            JournalHarness.Append(harness.Orders, valueByteCount: 3000);
            JournalHarness.Append(harness.Second, valueByteCount: 3000);
            RoundTask round = harness.Begin(harness.Orders, harness.Second);
            harness.Storage.CrashAfter(operationCount);
            try
            {
                round.Run();
                return;
            }
            catch (SimulatedCrashException)
            {
                for (int number = 0; number < PowerLossCount; number++)
                {
                    using JournalReplay? journal = JournalReplay.TryRead(harness.Storage.Crash(SimulatedCrashKind.PowerLoss), LogHarness.Root);
                    Assert.Null(journal!.Damage);
                }
            }
        }
    }

    [Fact]
    public void A_round_that_ran_when_its_half_got_old_is_found_and_so_are_those_behind_it()
    {
        CommitWhileHalfGetsOld(_harness.Second);
        _harness.Commit(_harness.Second);
        _harness.Commit(_harness.Second);
        LosePowerAndFiles();
        _harness.Log.Open();
        Assert.Equal((new Offset(1), new Offset(3)), (_harness.Orders.LogEndOffset, _harness.Second.LogEndOffset));
        Assert.DoesNotContain(_harness.Log.LogDirectory.Recovery.Findings, static finding => finding.Condition == RecoveryCondition.JournalDamaged);
    }

    [Fact]
    public void A_round_that_ran_when_its_half_got_old_is_not_written_over_before_it_is_stored()
    {
        CommitWhileHalfGetsOld(_harness.Second);
        JournalHarness.Store(_harness.Orders);

        // The other half gets full; this one is not free for the next round.
        for (int number = 0; number < 4; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        JournalHarness.Append(_harness.Orders);
        var round = new RoundTask(_harness.Journal, [_harness.Orders]);
        if (round.TryBegin())
        {
            round.Run();
            round.End();
        }

        LosePowerAndFiles();
        _harness.Log.Open();
        Assert.Equal(new Offset(1), _harness.Second.LogEndOffset);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Damage_in_the_journal_is_told_when_a_partition_comes_back(int damagedRound)
    {
        for (int number = 0; number < 3; number++)
        {
            _harness.Commit(_harness.Orders);
        }

        CommitFailingSync();
        _harness.Storage.FlipBit(JournalHarness.Halves[0], damagedRound * 4096 + 100);
        CommitJournalTests.ComeBack(_harness);
        Assert.Equal((true, new Offset(damagedRound)), (_harness.Orders.IsOnline, _harness.Orders.LogEndOffset));
        string message = Assert.Single(_harness.Log.Messages, static message => message.Contains("The commit journal in /data is damaged", StringComparison.Ordinal));
        Assert.Contains($"commit-journal.0 has no whole round at byte {damagedRound * 4096}", message, StringComparison.Ordinal);
        Assert.Contains("orders-0", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_journal_that_is_whole_is_not_called_damaged_when_a_partition_comes_back()
    {
        // In both halves, and a round behind it is on its way.
        for (int number = 0; number < 5; number++)
        {
            _harness.Commit(_harness.Orders, _harness.Second);
        }

        JournalHarness.Append(_harness.Second);
        RoundTask round = _harness.Begin(_harness.Second);
        CommitFailingSync();
        CommitJournalTests.ComeBack(_harness);
        Assert.Equal((true, new Offset(5)), (_harness.Orders.IsOnline, _harness.Orders.LogEndOffset));
        Assert.DoesNotContain(_harness.Log.Messages, static message => message.Contains("damaged", StringComparison.Ordinal));
        round.Run();
        round.End();
        JournalHarness.AssertOffsets(_harness.Second, synced: 6, stored: 0);
    }

    [Fact]
    public void A_check_tells_what_the_next_start_writes_back_and_calls_it_no_damage()
    {
        _harness.Commit(_harness.Orders);
        int acknowledged = _harness.Log.ReadFile(Segment).Length;
        _harness.Log.Kill();
        _harness.Log.Edit(Segment, bytes =>
        {
            bytes[acknowledged / 2] ^= 1;
            return bytes;
        });
        List<InspectionFinding> findings = [];
        LogInspection.Run(_harness.Log.Options, _harness.Storage, [], findings.Add);
        Assert.DoesNotContain(findings, static finding => !finding.IsNote);
        Assert.Contains(findings, static finding => finding.ToString().Contains("commit journal holds offsets 0 to 0", StringComparison.Ordinal));

        using LogRepair repair = LogRepair.Prepare(_harness.Log.Options, _harness.Storage, LogHarness.Orders);
        Assert.Contains("Start the broker once", repair.Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void The_journal_can_be_read_by_people()
    {
        _harness.Commit(_harness.Orders, _harness.Second);
        _harness.Log.Kill();
        string[] lines = [.. LogFile.Describe(_harness.Storage, JournalHarness.Halves[0])];
        Assert.Equal("generation: 1 rounds: 1 to 1", lines[0]);
        Assert.Contains("partition: 1 leaderEpoch: 0 baseOffset: 0 lastOffset: 0 segment: 00000000000000000000.log position: 0", lines[2], StringComparison.Ordinal);
    }

    /// <summary>The disk has of the segments what was synced, and nothing else.</summary>
    private void LosePowerAndFiles()
    {
        long[] stored = [.. PartitionsInOrder().Select(static log => (long)log.SegmentsForTests[0].StoredByteCount)];
        _harness.Log.LosePower();
        for (int partition = 0; partition < stored.Length; partition++)
        {
            using IStorageFile file = _harness.Storage.Open($"/data/orders-{partition}/00000000000000000000.log", StorageOpenMode.Existing);
            file.SetLength(Math.Min(file.Length, stored[partition]));
            file.SyncData();
        }
    }

    /// <summary>A record in the first partition; then one of another in a round during which that gets old.</summary>
    private void CommitWhileHalfGetsOld(PartitionLog log)
    {
        _harness.Commit(_harness.Orders);
        JournalHarness.Append(log);
        RoundTask round = _harness.Begin(log);
        _harness.Log.Time.Advance(TimeSpan.FromSeconds(30));
        _harness.Journal.StoreOld();
        round.Run();
        Assert.Null(round.Error);
        round.End();
        JournalHarness.AssertOffsets(log, synced: 1, stored: 0);
    }

    private PartitionLog[] PartitionsInOrder() => [_harness.Orders, _harness.Second];

    /// <summary>A sync of the files fails, and then memory gets scarce: the pages are as they are on the disk.</summary>
    private void CommitFailingSync()
    {
        JournalHarness.Append(_harness.Orders);
        SyncWork work = _harness.Orders.BeginSync()!;
        _harness.Storage.FailNext(SimulatedOperation.SyncData, Segment);
        Exception? error = work.TryRun();
        Assert.NotNull(error);
        _harness.Orders.EndSync(work, error);
        Assert.False(_harness.Orders.IsOnline);
        _harness.Storage.DropCleanPages(Segment);
    }

    /// <summary>What is there now stays, whatever the power does.</summary>
    private void AssertStored()
    {
        Offset end = _harness.Orders.LogEndOffset;
        _harness.Log.LosePower();
        _harness.Log.Open();
        Assert.Equal(end, _harness.Orders.LogEndOffset);
    }
}
