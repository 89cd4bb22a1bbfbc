using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>kafkajs and @platformatic/kafka, two clients that share no code with each other or with librdkafka.</summary>
public sealed class NodeClientTests
{
    private const int RecordCount = 1_000;

    public static TheoryData<string, string> Scenarios => new MatrixTheoryData<string, string>(
        ["kafkajs", "platformatic"],
        ["deleteRecords", "fencing", "groupsAndOffsets", "produceAndConsume", "timeLookup", "topicsAndSettings", "transactions"]);

    [Theory]
    [MemberData(nameof(Scenarios))]
    public async Task Every_assertion_of_the_script_holds(string client, string scenario)
    {
        await NodeClient.RequireAsync(client);
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await using RunningProgram script = NodeClient.Start(client, scenario, broker);

        await script.RequireSuccessAsync();
    }

    [Theory]
    [InlineData("kafkajs")]
    [InlineData("platformatic")]
    public async Task The_survivor_of_a_group_of_two_gets_every_partition_and_every_record_is_seen(string client)
    {
        await NodeClient.RequireAsync(client);
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", "4");
        await ProduceAsync(broker, "before");
        await using RunningProgram first = NodeClient.Start(client, "member", broker, "readers", "shared");
        await first.WaitUntilAsync("alone with all partitions", (output, _) => LastAssignment(output) == 4);
        await using RunningProgram second = NodeClient.Start(client, "member", broker, "readers", "shared");
        await Task.WhenAll(
            first.WaitUntilAsync("sharing the partitions", (output, _) => LastAssignment(output) == 2),
            second.WaitUntilAsync("sharing the partitions", (output, _) => LastAssignment(output) == 2));

        await second.KillAsync();
        await ProduceAsync(broker, "after");

        await first.WaitUntilAsync("alone with all partitions again", (output, _) => LastAssignment(output) == 4);
        await first.WaitUntilAsync("everything that came after the kill is seen", (output, _) => HasSeen(output, "after"));
        Assert.True(HasSeen([.. first.Output, .. second.Output], "before"));
        await first.WriteLineAsync("stop");
        await first.RequireSuccessAsync();
    }

    [Theory]
    [InlineData("kafkajs")]
    [InlineData("platformatic")]
    public async Task An_idempotent_producer_outlives_kills_of_the_broker_without_a_loss_or_a_repetition(string client)
    {
        await NodeClient.RequireAsync(client);
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await using RunningProgram script = NodeClient.Start(client, "produceThroughKills", broker, "survivors", $"{RecordCount}");
        foreach (int acknowledged in new[] { RecordCount / 4, RecordCount / 2 })
        {
            await script.WaitUntilAsync(
                $"{acknowledged} records are acknowledged", (output, _) => output.Contains($"acknowledged {acknowledged}", StringComparer.Ordinal));
            await broker.KillAsync();
            await broker.StartAgainAsync();
        }

        await script.RequireSuccessAsync();
        Assert.Contains($"acknowledged {RecordCount}", script.Output);
    }

    private static Task ProduceAsync(StandaloneBroker broker, string prefix)
        => Kcat.RunAsync(broker, ["-P", "-t", "shared", "-K", ":"], Enumerable.Range(0, 100).Select(number => $"{number}:{prefix}-{number}"));

    private static bool HasSeen(IReadOnlyList<string> output, string prefix)
        => Enumerable.Range(0, 100).All(number => output.Contains($"saw {prefix}-{number}", StringComparer.Ordinal));

    private static int LastAssignment(IReadOnlyList<string> output)
    {
        string? last = output.LastOrDefault(line => line.StartsWith("assigned ", StringComparison.Ordinal));
        return last is null ? 0 : int.Parse(last["assigned ".Length..]);
    }
}
