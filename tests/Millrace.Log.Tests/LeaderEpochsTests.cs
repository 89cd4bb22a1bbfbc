using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>Epochs go with their records.</summary>
public class LeaderEpochsTests
{
    private const string File = LogHarness.Directory + "/leader-epoch-checkpoint";

    [Theory]
    [InlineData(0, "0 0, 1 2, 2 5")]
    [InlineData(1, "0 0, 1 2, 2 5")]
    [InlineData(2, "1 2, 2 5")]
    [InlineData(3, "1 3, 2 5")]
    [InlineData(5, "2 5")]
    [InlineData(6, "2 6")]
    public void Epochs_that_ended_at_the_start_of_the_log_or_before_go(long logStart, string left)
    {
        LogHarness harness = WithEpochs();
        harness.Log.DeleteRecords(new Offset(logStart));

        Assert.Equal(left, Text(harness));
        string[] lines = left.Split(", ");
        Assert.Equal($"0\n{lines.Length}\n{string.Join('\n', lines)}\n", harness.ReadText(File));
    }

    [Fact]
    public void An_epoch_whose_records_are_deleted_has_ended_where_the_oldest_begins_that_is_known()
    {
        LogHarness harness = WithEpochs();
        harness.Log.DeleteRecords(new Offset(3));
        Assert.Equal((0, new Offset(3)), harness.Log.EndOfLeaderEpoch(0));
        Assert.Equal((1, new Offset(5)), harness.Log.EndOfLeaderEpoch(1));
        Assert.Null(harness.Log.EndOfLeaderEpoch(3));
        Assert.Null(harness.Log.EndOfLeaderEpoch(-1));
    }

    [Fact]
    public void A_start_takes_the_epochs_for_what_they_are_although_older_records_lie_in_the_first_segment()
    {
        LogHarness harness = WithEpochs();
        harness.Log.DeleteRecords(new Offset(3));
        harness.KillAndOpen();
        Assert.Empty(harness.LogDirectory.Recovery.Findings);
        Assert.Equal("1 3, 2 5, 3 7", Text(harness));
        harness.LogDirectory.Close();
        LogInspection.Run(harness.Options, harness.Storage, [], static finding => Assert.Fail(finding.ToString()));
    }

    [Fact]
    public void An_epoch_does_not_go_before_the_start_of_the_log_is_written_down()
    {
        LogHarness harness = WithEpochs();
        harness.Storage.FailNext(SimulatedOperation.Create, "log-start-offset-checkpoint.tmp");
        Assert.IsType<DeleteRecordsResult.Failed>(harness.Log.DeleteRecords(new Offset(5)));
        Assert.Equal("0 0, 1 2, 2 5", Text(harness));
    }

    [Fact]
    public void Epochs_that_cannot_be_taken_out_of_the_file_go_with_the_next_deletion()
    {
        LogHarness harness = WithEpochs();
        harness.Storage.FailNext(SimulatedOperation.Create, "leader-epoch-checkpoint.tmp");
        Assert.IsType<DeleteRecordsResult.Deleted>(harness.Log.DeleteRecords(new Offset(5)));
        Assert.Equal("0 0, 1 2, 2 5", Text(harness));
        harness.Log.DeleteRecords(new Offset(6));
        Assert.Equal("2 6", Text(harness));
    }

    /// <summary>Epoch 0 has offsets 0 and 1, epoch 1 has 2 to 4, epoch 2 has 5 and 6.</summary>
    private static LogHarness WithEpochs()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(2);
        harness.KillAndOpen();
        harness.AppendMany(3);
        harness.KillAndOpen();
        harness.AppendMany(2);
        harness.Sync();
        return harness;
    }

    private static string Text(LogHarness harness) => string.Join(", ", harness.Log.LeaderEpochs.Select(static start => $"{start.Epoch} {start.StartOffset}"));
}
