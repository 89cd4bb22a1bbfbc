using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary><c>millrace log</c> on the files of a real broker, which kcat has filled.</summary>
public sealed class LogCommandTests
{
    private const int Failure = 1;
    private const int Usage = 2;

    public static TheoryData<string[], string> BadCommandLines => new()
    {
        { ["check"], "Required argument 'DIR'" },
        { ["check", "/nowhere"], "There is no directory /nowhere" },
        { ["check", "/proc"], "/proc is not a data directory of Millrace" },
        { ["check", "/nowhere", "orders"], "'orders' is not the name of a partition; write TOPIC-PARTITION" },
        { ["repair", "/nowhere"], "Required argument 'TOPIC-PARTITION'" },
        { ["repair", "/nowhere", "orders-0"], "There is no directory /nowhere" },
        { ["repair", "/nowhere", "orders-01"], "'orders-01' is not the name of a partition" },
        { ["dump"], "Required argument 'PATH'" },
        { ["dump", "/nowhere"], "There is no /nowhere" },
        { ["dump", "/proc/version"], "/proc/version has no name of a file that a log has" },
        { ["dump", "/proc"], "There is no segment in /proc" },
        { ["dump", "/nowhere", "--from", "-1"], "'-1' is not a number for --from; give one from 0 on" },
        { ["dump", "/nowhere", "--count", "0"], "'0' is not a number for --count; give one from 1 on" },
        { ["mend"], "'mend' is not a command or an option of millrace log" },
    };

    [Theory]
    [MemberData(nameof(BadCommandLines))]
    public async Task A_command_line_that_makes_no_sense_is_refused_with_a_sentence(string[] arguments, string expected)
    {
        await using RunningProgram program = await RunAsync(Usage, arguments);
        Assert.Contains(program.Error, line => line.Contains(expected, StringComparison.Ordinal));
        Assert.DoesNotContain(program.Error, static line => line.Contains("Exception", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_running_broker_is_checked_and_not_repaired()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await Kcat.RunAsync(broker, ["-P", "-t", "orders"], ["one", "two"]);

        await using RunningProgram check = await RunAsync(0, "check", broker.DataDirectory);
        Assert.Contains(check.Output, static line => line.StartsWith("A broker uses the directory", StringComparison.Ordinal));
        Assert.Contains("Nothing is wrong", check.Output[^1], StringComparison.Ordinal);
        await using RunningProgram repair = await RunAsync(Failure, "repair", broker.DataDirectory, "orders-0", "--yes");
        Assert.Contains("is locked by another process", repair.Error[0], StringComparison.Ordinal);
        Assert.Equal(["one", "two"], (await Kcat.ReadAllAsync(broker, "orders")).Select(static record => record.Payload));
    }

    [Fact]
    public async Task A_damaged_partition_is_explained_repaired_when_told_to_and_served_again()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        foreach (string payload in new[] { "one", "two", "three" })
        {
            await Kcat.RunAsync(broker, ["-P", "-t", "orders"], [payload]);
        }

        await broker.StopAsync();
        byte[] whole = broker.ReadSegment("orders");
        byte[] damaged = [.. whole];
        damaged[damaged.AsSpan().IndexOf("two"u8)] ^= 1;
        await File.WriteAllBytesAsync(broker.SegmentPath("orders"), damaged);

        await using RunningProgram check = await RunAsync(Failure, "check", broker.DataDirectory, "orders-0");
        Assert.Matches($"^{broker.SegmentPath("orders")}, byte [1-9][0-9]*, offset 1: Here the log fails its checksum", check.Output[0]);
        await using RunningProgram shown = await RunAsync(Failure, "repair", broker.DataDirectory, "orders-0");
        Assert.Contains("Nothing was changed. Give --yes", shown.Error[0], StringComparison.Ordinal);
        Assert.Equal(damaged, broker.ReadSegment("orders"));
        await using RunningProgram repair = await RunAsync(0, "repair", broker.DataDirectory, "orders-0", "--yes");
        Assert.Equal("orders-0 is repaired: the next start of the broker serves it.", repair.Output[^1]);

        await broker.StartAgainAsync();
        await Kcat.RunAsync(broker, ["-P", "-t", "orders"], ["four"]);
        Assert.Equal(["one", "four"], (await Kcat.ReadAllAsync(broker, "orders")).Select(static record => record.Payload));
        string cut = Assert.Single(Directory.GetFiles(Path.GetDirectoryName(broker.SegmentPath("orders"))!, "*.cut"));
        byte[] kept = await File.ReadAllBytesAsync(cut);
        Assert.Equal(damaged[^kept.Length..], kept);
        await using RunningProgram dump = await RunAsync(Failure, "dump", cut, "--records");
        Assert.Contains(dump.Output, static line => line.Contains("isvalid: false (fails its checksum)", StringComparison.Ordinal));
        Assert.Contains(dump.Output, static line => line.EndsWith("payload: three", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_dump_shows_batches_records_and_what_a_group_has_committed()
    {
        Kcat.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await Kcat.RunAsync(
            broker,
            ["-P", "-t", "orders", "-K", ":", "-H", "origin=test", "-z", "gzip", "-X", "linger.ms=10000"], // both records in one batch: the flush at the end of input sends it
            ["k1:one", "k2:two"]);
        await Kcat.RunAsync(broker, ["-G", "shipping", "-e", "-q", "-X", "auto.offset.reset=earliest", "orders"]);
        await broker.StopAsync();

        await using RunningProgram records = await RunAsync(0, "dump", Path.GetDirectoryName(broker.SegmentPath("orders"))!, "--records", "--from", "1", "--count", "1");
        Assert.StartsWith("Dumping ", records.Output[0], StringComparison.Ordinal);
        Assert.Contains("baseOffset: 0 lastOffset: 1 count: 2", records.Output[1], StringComparison.Ordinal);
        Assert.Contains("isvalid: true", records.Output[1], StringComparison.Ordinal);
        Assert.Equal(3, records.Output.Count);
        Assert.EndsWith("headers: [origin=test] key: k2 payload: two", records.Output[2], StringComparison.Ordinal);

        List<string> offsets = [];
        foreach (string directory in Directory.GetDirectories(broker.DataDirectory, "__consumer_offsets-*"))
        {
            await using RunningProgram dump = await RunAsync(0, "dump", directory, "--records");
            offsets.AddRange(dump.Output);
        }

        Assert.Contains(offsets, static line => line.Contains(
            "OffsetCommitKey version 1 {Group: shipping, Topic: orders, Partition: 0} payload: OffsetCommitValue version 3 {Offset: 2,", StringComparison.Ordinal));
        await using RunningProgram epochs = await RunAsync(0, "dump", $"{Path.GetDirectoryName(broker.SegmentPath("orders"))}/leader-epoch-checkpoint");
        Assert.Equal("epoch: 0 startOffset: 0", epochs.Output[1]);
    }

    private static async Task<RunningProgram> RunAsync(int exitCode, params string[] arguments)
    {
        RunningProgram program = RunningProgram.Start("dotnet", ["exec", StandaloneBroker.Command, "log", .. arguments]);
        int found = await program.WaitForExitAsync();
        Assert.True(found == exitCode, $"Exit code {found}, not {exitCode}.\n{program.Transcript}");
        return program;
    }
}
