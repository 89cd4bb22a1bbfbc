using Millrace.Log;

namespace Millrace.Simulation.Tests;

public class LogCrashSimulationTests
{
    private const int ControlSeedCount = 60;

    private static readonly SeedCampaign Campaign = new("*LogCrashSimulationTests.Crashes*", defaultSeedCount: 1000);

    [Fact]
    public void Crashes_at_any_operation_lose_nothing_that_was_acknowledged() =>
        Campaign.RequireNoFailure(static seed => TryFail(seed, LogCrashSabotage.None));

    [Fact]
    public void The_same_seed_gives_the_same_hash_over_every_operation_and_answer()
    {
        var hashes = new HashSet<ulong>();
        for (int seed = 1; seed <= 50; seed++)
        {
            ulong hash = new LogCrashSimulation(seed, LogCrashSabotage.None).Run();
            Assert.Equal(hash, new LogCrashSimulation(seed, LogCrashSabotage.None).Run());
            Assert.True(hashes.Add(hash), "Different seeds do different things.");
        }
    }

    [Fact]
    public void The_seeds_come_upon_what_a_power_loss_leaves()
    {
        var findings = new Dictionary<RecoveryCondition, int>();
        int crashCount = 0;
        int returnCount = 0;
        int roundCount = 0;
        // As many as it takes: some of what a loss of power leaves is rare.
        for (int seed = 1; seed <= ControlSeedCount * 10 || (seed <= ControlSeedCount * 100 && !ConditionsOfAPowerLoss.All(findings.ContainsKey)); seed++)
        {
            var simulation = new LogCrashSimulation(seed, LogCrashSabotage.None);
            simulation.Run();
            crashCount += simulation.CrashCount;
            returnCount += simulation.ReturnCount;
            roundCount += simulation.JournalRoundCount;
            foreach (((RecoveryCondition condition, RecoveryAction action), int count) in simulation.Findings)
            {
                Assert.NotEqual(RecoveryAction.StayOffline, action);
                findings[condition] = findings.GetValueOrDefault(condition) + count;
            }
        }

        string summary = string.Join(", ", findings.Select(static finding => $"{finding.Key} {finding.Value}"));
        TestContext.Current.TestOutputHelper?.WriteLine($"{crashCount} crashes, {returnCount} returns, {roundCount} rounds of the journal: {summary}");
        Assert.NotEqual(0, returnCount);
        Assert.NotEqual(0, roundCount);
        Assert.All(ConditionsOfAPowerLoss, condition => Assert.True(findings.ContainsKey(condition), $"{condition} is not among: {summary}"));
    }

    private static readonly RecoveryCondition[] ConditionsOfAPowerLoss =
    [
        RecoveryCondition.BatchIncomplete,
        RecoveryCondition.BatchLengthImpossible,
        RecoveryCondition.BatchFormatUnknown,
        RecoveryCondition.BatchChecksumWrong,
        RecoveryCondition.SegmentAfterGap,
        RecoveryCondition.JournalWrittenBack,
        RecoveryCondition.IndexMissing,
        RecoveryCondition.IndexStale,
        RecoveryCondition.IndexWithoutSegment,
        RecoveryCondition.SnapshotMissing,
        RecoveryCondition.SnapshotUnreadable,
        RecoveryCondition.SnapshotStale,
        RecoveryCondition.TemporaryFile,
        RecoveryCondition.MetadataMissingWithoutRecords,
    ];

    [Fact]
    public void A_disk_whose_flush_does_nothing_is_caught() => AssertCaught(LogCrashSabotage.FlushDoesNothing);

    [Fact]
    public void A_disk_that_does_not_flush_the_journal_is_caught() =>
        SeedCampaign.RequireFailure(nameof(LogCrashSabotage.JournalFlushDoesNothing), static seed => TryFail(seed, LogCrashSabotage.JournalFlushDoesNothing));

    [Fact]
    public void A_journal_that_is_not_written_back_is_caught() => AssertCaught(LogCrashSabotage.ForgetJournal);

    [Fact]
    public void An_acknowledgement_before_the_sync_is_caught() => AssertCaught(LogCrashSabotage.AcknowledgeBeforeSync);

    [Fact]
    public void A_disk_that_does_not_say_which_syncs_it_has_refused_is_caught() =>
        SeedCampaign.RequireFailure(nameof(LogCrashSabotage.HideRefusals), static seed => TryFail(seed, LogCrashSabotage.HideRefusals));

    private static void AssertCaught(LogCrashSabotage sabotage)
    {
        int caught = Enumerable.Range(1, ControlSeedCount).Count(seed => TryFail(seed, sabotage) is not null);
        Assert.True(caught > ControlSeedCount / 20, $"{sabotage} was caught by {caught} of {ControlSeedCount} seeds.");
    }

    private static string? TryFail(int seed, LogCrashSabotage sabotage) =>
        SeedCampaign.TryFail(() => new LogCrashSimulation(seed, sabotage).Run(), static () => null);
}
