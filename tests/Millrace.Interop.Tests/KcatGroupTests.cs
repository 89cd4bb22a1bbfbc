using System.Text.RegularExpressions;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>A consumer group of programs that are not ours.</summary>
public sealed partial class KcatGroupTests
{
    private const int PartitionCount = 8;

    [Fact]
    public async Task The_survivor_of_a_group_of_two_gets_every_partition_and_every_record_is_seen()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", $"{PartitionCount}");
        await ProduceAsync(broker, "before", 400);
        await using RunningProgram first = StartMember(broker);
        await first.WaitUntilAsync("alone with all partitions", (_, error) => Assigned(error).Count == PartitionCount);
        await using RunningProgram second = StartMember(broker);
        await Task.WhenAll(
            first.WaitUntilAsync("sharing the partitions", (_, error) => Assigned(error).Count == PartitionCount / 2),
            second.WaitUntilAsync("sharing the partitions", (_, error) => Assigned(error).Count == PartitionCount / 2));
        Assert.Empty(Assigned(first.Error).Intersect(Assigned(second.Error)));
        await ProduceAsync(broker, "shared", 400);
        await second.WaitUntilAsync("it has read its share", (output, _) => output.Any(line => line.StartsWith("shared-", StringComparison.Ordinal)));

        await second.KillAsync();
        await ProduceAsync(broker, "after", 400);

        await first.WaitUntilAsync("alone with all partitions again", (_, error) => Assigned(error).Count == PartitionCount);
        string[] expected = [.. from prefix in new[] { "before", "shared", "after" } from number in Enumerable.Range(0, 400) select $"{prefix}-{number}"];
        IReadOnlyList<string> seenBySecond = second.Output;
        await first.WaitUntilAsync("every record is seen", (output, _) => !expected.Except(output.Concat(seenBySecond), StringComparer.Ordinal).Any());
        Assert.All(Enumerable.Range(0, 400), number => Assert.Contains($"after-{number}", first.Output));
    }

    private static Task ProduceAsync(StandaloneBroker broker, string prefix, int count)
        => Kcat.RunAsync(
            broker, ["-P", "-t", "orders", "-K", ":"], Enumerable.Range(0, count).Select(number => $"{prefix}-{number}:x"));

    // The shortest session that Kafka's default (group.min.session.timeout.ms) lets a member ask for.
    private static RunningProgram StartMember(StandaloneBroker broker)
        => Kcat.Start(
            broker, "-G", "readers", "-u", "-f", "%k\\n", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000",
            "-X", "heartbeat.interval.ms=500", "-X", "auto.commit.interval.ms=100", "orders");

    /// <summary>The partitions of the last assignment that kcat has reported; none while it has been revoked.</summary>
    private static HashSet<int> Assigned(IReadOnlyList<string> error)
    {
        string last = error.LastOrDefault(line => line.Contains("rebalanced", StringComparison.Ordinal)) ?? "";
        return last.Contains("assigned:", StringComparison.Ordinal)
            ? [.. Partition().Matches(last).Select(match => int.Parse(match.Groups[1].Value))]
            : [];
    }

    [GeneratedRegex(@"orders \[(\d+)\]")]
    private static partial Regex Partition();
}
