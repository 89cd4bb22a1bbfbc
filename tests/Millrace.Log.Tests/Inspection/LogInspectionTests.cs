using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class LogInspectionTests
{
    private readonly DamagedLog _log = DamagedLog.Stopped();

    [Fact]
    public void A_directory_that_was_stopped_cleanly_is_clean()
    {
        Assert.Empty(_log.CheckWithNotes());
    }

    [Fact]
    public void A_directory_in_use_is_clean_and_is_said_to_be_in_use()
    {
        DamagedLog log = DamagedLog.Running();
        InspectionSummary summary = LogInspection.Run(log.Harness.Options, log.Harness.Storage, [], static finding => Assert.Fail(finding.ToString()));
        Assert.True(summary.WasInUse);
        Assert.Equal((3, 7), (summary.PartitionCount, summary.SegmentCount));
        Assert.Equal(DamagedLog.EndOffset + 1, summary.BatchCount);
        Assert.False(LogInspection.Run(_log.Harness.Options, _log.Harness.Storage, [], static _ => { }).WasInUse);
    }

    [Fact]
    public void A_batch_that_is_being_written_is_no_damage_beside_a_broker_and_is_without_one()
    {
        DamagedLog log = DamagedLog.Running();
        string last = DamagedLog.PathOf(8, ".log");
        log.Harness.Edit(last, static bytes => [.. bytes, .. LogHarness.Batch()[..70]]);
        Assert.Empty(log.Check());
        log.Harness.Kill();
        InspectionFinding finding = Assert.Single(log.Check());
        Assert.Equal((last, new Offset(9)), (finding.Path, finding.Offset));
        Assert.Contains("the next start cuts it at offset 9", finding.Description);
    }

    [Fact]
    public void Segments_that_a_broker_compacts_meanwhile_are_no_damage_beside_it()
    {
        var topic = new CompactionHarness(segmentByteCount: 170);
        topic.Append("a", "1");
        topic.Append("b", "1");
        topic.Append("b", "2");
        topic.Append("b", "3");
        topic.Close();
        LogSettings settings = topic.Harness.Options.ToSettings();
        var files = new DirectoryFiles(settings, topic.Harness.Storage);
        topic.Compact();
        List<InspectionFinding> findings = [];
        new PartitionInspection(settings, topic.Harness.Storage, files, LogHarness.Orders, isInUse: true, new InspectionCounts(), findings.Add).Run();
        InspectionFinding note = Assert.Single(findings);
        Assert.True(note.IsNote);
        Assert.Contains("Look again", note.Description, StringComparison.Ordinal);

        // What is damaged is told by the next look.
        topic.Harness.Storage.FlipBit(LogHarness.FirstSegment, 70);
        findings.Clear();
        LogInspection.Run(topic.Harness.Options, topic.Harness.Storage, [], findings.Add);
        Assert.Contains("fails its checksum", Assert.Single(findings).Description, StringComparison.Ordinal);
    }

    [Fact]
    public void A_partition_whose_creation_was_interrupted_is_worth_a_note_whatever_it_lacks()
    {
        DamagedLog log = DamagedLog.Running();
        log.Harness.Storage.FailNext(SimulatedOperation.Rename);
        Assert.Throws<IOException>(() => log.Harness.LogDirectory.Create(new TopicPartition("orders", 2), LogHarness.OrdersId));
        Assert.True(log.Harness.LogDirectory.Close());
        Assert.Empty(log.Check());
        Assert.Contains("the creation was interrupted", Assert.Single(log.CheckWithNotes()).Description, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_changed()
    {
        _log.FlipBit(DamagedLog.PathOf(2, ".log"), 100);
        _log.Harness.Storage.DeleteFile(DamagedLog.PathOf(4, ".index"));
        long before = _log.Harness.Storage.OperationCount;
        Assert.NotEmpty(_log.Check());
        Assert.Equal(before, _log.Harness.Storage.OperationCount);
    }

    [Fact]
    public void A_batch_that_fails_its_checksum_is_named_with_file_byte_and_offset_and_what_to_do()
    {
        string segment = DamagedLog.PathOf(6, ".log");
        long second = LogHarness.Batch().Length;
        _log.FlipBit(segment, second + 80);
        InspectionFinding finding = Assert.Single(_log.Check());
        Assert.Equal((segment, second, new Offset(7)), (finding.Path, finding.Position, finding.Offset));
        Assert.Contains("fails its checksum", finding.Description);
        Assert.Contains("run 'millrace log repair /data orders-0'", finding.Description);
        Assert.Contains("from offset 7 on", finding.Description);
    }

    [Fact]
    public void Damage_behind_the_first_is_named_too()
    {
        _log.FlipBit(DamagedLog.PathOf(0, ".log"), 80);
        _log.FlipBit(DamagedLog.PathOf(6, ".log"), 80);
        Assert.Equal([DamagedLog.PathOf(0, ".log"), DamagedLog.PathOf(6, ".log")], _log.Check().Select(static finding => finding.Path));
    }

    [Theory]
    [InlineData(".index", 0, 3, "names in entry 0 offset")]
    [InlineData(".index", 0, 7, "names in entry 0 byte")]
    [InlineData(".timeindex", 4, 5, "has in entry 0 another one")]
    [InlineData(".txnindex", 2, 9, "has in entry 0 another one")]
    public void An_index_that_says_something_else_than_the_batches_is_named(string suffix, long segment, long position, string expected)
    {
        string path = DamagedLog.PathOf(segment, suffix);
        _log.FlipBit(path, position);
        InspectionFinding finding = Assert.Single(_log.Check());
        Assert.Equal((path, 0L), (finding.Path, finding.Position));
        Assert.Contains(expected, finding.Description);
    }

    [Theory]
    [InlineData(".index", "is missing")]
    [InlineData(".timeindex", "is missing")]
    [InlineData(".txnindex", "is missing")]
    public void An_index_that_is_gone_is_named(string suffix, string expected)
    {
        _log.Harness.Storage.DeleteFile(DamagedLog.PathOf(2, suffix));
        Assert.Contains(expected, Assert.Single(_log.Check()).Description);
    }

    [Theory]
    [InlineData(".index", "no whole entries of 8")]
    [InlineData(".timeindex", "no whole entries of 12")]
    [InlineData(".txnindex", "no whole entries of 34")]
    public void Half_an_entry_is_named(string suffix, string expected)
    {
        _log.Harness.Edit(DamagedLog.PathOf(2, suffix), static bytes => [.. bytes, 1]);
        Assert.Contains(_log.Check(), finding => finding.Description.Contains(expected, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(".timeindex", "lacks the time")]
    [InlineData(".txnindex", "lacks the transaction")]
    public void An_index_without_its_entries_is_named(string suffix, string expected)
    {
        _log.Harness.WriteFile(DamagedLog.PathOf(2, suffix), []);
        Assert.Contains(expected, Assert.Single(_log.Check()).Description);
    }

    [Fact]
    public void An_offset_index_that_knows_nothing_of_a_megabyte_is_named()
    {
        LogHarness harness = LogHarness.WithPartition();
        for (int batch = 0; batch < 24; batch++)
        {
            harness.Append(LogHarness.Batch(valueByteCount: 50_000));
        }

        harness.LogDirectory.Close();
        harness.WriteFile(LogHarness.FirstIndex, []);
        harness.WriteFile($"{LogHarness.Directory}/00000000000000000000.timeindex", []);
        List<InspectionFinding> findings = [];
        LogInspection.Run(harness.Options, harness.Storage, [], findings.Add);
        Assert.Contains("has no entry for the batches of the log from byte 0", Assert.Single(findings).Description);
    }

    [Fact]
    public void A_segment_that_is_gone_is_named_by_what_comes_after_it()
    {
        _log.Harness.Storage.DeleteFile(DamagedLog.PathOf(4, ".log"));
        InspectionFinding finding = Assert.Single(_log.Check());
        Assert.Equal((DamagedLog.PathOf(6, ".log"), new Offset(4)), (finding.Path, finding.Offset));
        Assert.Contains("begins at offset 6, and the log before it ends at 4", finding.Description);
    }

    [Fact]
    public void A_first_segment_that_is_gone_is_named()
    {
        _log.Harness.Storage.DeleteFile(DamagedLog.PathOf(0, ".log"));
        Assert.Contains("The log starts at offset 0, and its first segment begins at 2", Assert.Single(_log.Check()).Description);
    }

    [Fact]
    public void A_log_that_ends_below_its_recovery_point_is_named()
    {
        _log.Harness.Storage.DeleteFile(DamagedLog.PathOf(8, ".log"));
        InspectionFinding finding = Assert.Single(_log.Check());
        Assert.Contains("The log ends at offset 8, and offsets below 9 were on the disk", finding.Description);
    }

    [Fact]
    public void A_partition_without_segments_is_named()
    {
        foreach (long segment in new[] { 0, 2, 4, 6, 8 })
        {
            _log.Harness.Storage.DeleteFile(DamagedLog.PathOf(segment, ".log"));
        }

        Assert.Contains("There is no segment, and records were on the disk here", Assert.Single(_log.Check()).Description);
    }

    [Theory]
    [InlineData("orders-0/leader-epoch-checkpoint", null, "The file is missing")]
    [InlineData("orders-0/leader-epoch-checkpoint", "0\n1\n0 x\n", "line 3 is '0 x' where 2 columns belong")]
    [InlineData("orders-0/leader-epoch-checkpoint", "0\n0\n", "The newest epoch is -1, and there are batches of epoch 0")]
    [InlineData("orders-0/leader-epoch-checkpoint", "0\n2\n0 0\n1 50\n", "Epoch 1 begins at offset 50, and the log ends at 9")]
    [InlineData("orders-0/partition.metadata", null, "The file is missing")]
    [InlineData("orders-0/partition.metadata", "version: 0\n", "it has no line with the id of the topic")]
    [InlineData("orders-0/partition.metadata", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA\n", "The topic has the id AAAAAAAAAAAAAAAAAAAAAA here and")]
    [InlineData("orders-0/00000000000000000004.snapshot", "x", "fails its checksum")]
    [InlineData("recovery-point-offset-checkpoint", null, "The file is missing")]
    [InlineData("recovery-point-offset-checkpoint", "0\n7\norders 0 9\n", "line 2 is '7' where the number of lines behind it belongs, and there are 1")]
    [InlineData("recovery-point-offset-checkpoint", "1\n0\n", "line 1 is '1' where the version '0' belongs")]
    [InlineData("recovery-point-offset-checkpoint", "0\n1\norders 0 9", "the file ends in the middle of line 3")]
    [InlineData("recovery-point-offset-checkpoint", "0\n1\ngone 0 9\n", "The directory is gone, and with it 9 offsets")]
    [InlineData("log-start-offset-checkpoint", "0\n1\norders zero 0\n", "line 3 is 'orders zero 0' where 3 columns belong")]
    [InlineData("replication-offset-checkpoint", "0\n1\norders\n", "line 3 is 'orders' where 3 columns belong")]
    [InlineData("cleaner-offset-checkpoint", "0\n1\norders\n", "line 3 is 'orders' where 3 columns belong")]
    [InlineData("topic-settings", "0\n0\n", "does not have the checksum of its content")]
    public void A_small_file_that_is_gone_or_damaged_is_named_with_what_is_wrong_in_it(string file, string? content, string expected)
    {
        string path = $"{LogHarness.Root}/{file}";
        if (content is null)
        {
            _log.Harness.Storage.DeleteFile(path);
        }
        else
        {
            _log.Harness.WriteText(path, content);
        }

        Assert.Contains(_log.Check(), finding => finding.Description.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Only_the_partitions_that_were_named_are_read()
    {
        _log.FlipBit(DamagedLog.PathOf(0, ".log"), 80);
        Assert.Empty(_log.Check(DamagedLog.OtherPartition));
        Assert.Single(_log.Check(LogHarness.Orders));
    }

    [Fact]
    public void A_disk_that_refuses_is_a_finding_of_that_partition_alone()
    {
        _log.Harness.Storage.FailNext(SimulatedOperation.Read, "orders-0/00000000000000000002.log");
        Assert.Contains("Reading failed: Input/output error", Assert.Single(_log.Check()).Description);
    }

    [Theory]
    [InlineData("/nowhere", "There is no directory /nowhere")]
    [InlineData("/data/orders-0", "is not a data directory of Millrace: it has no meta.properties")]
    public void What_is_no_data_directory_is_refused(string directory, string expected)
    {
        _log.Harness.Options.Path = directory;
        Assert.Contains(expected, Assert.Throws<LogDirectoryException>(() => _log.Check()).Message);
    }

    [Fact]
    public void A_partition_that_is_not_there_is_refused() =>
        Assert.Contains("There is no partition orders-9 in /data", Assert.Throws<LogDirectoryException>(() => _log.Check(new TopicPartition("orders", 9))).Message);

    [Fact]
    public void What_is_only_worth_knowing_is_no_finding()
    {
        _log.Harness.WriteText($"{LogHarness.Directory}/epoch-0000000001-00000000000000000002-0.cut", "cut");
        _log.Harness.WriteText($"{LogHarness.Directory}/partition.metadata.tmp", "");
        _log.Harness.WriteFile(DamagedLog.PathOf(99, ".index"), []);
        Assert.Equal(3, _log.CheckWithNotes().Count);
        Assert.Empty(_log.Check());
    }
}
