using System.Globalization;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>What the operating system saw: many records go from their file to the socket inside of the kernel, few are copied.</summary>
public sealed class SendFileTraceTests
{
    private const string Topic = "traced";
    private const int RecordByteCount = 200_000;

    [Theory]
    [InlineData(5 * RecordByteCount)]
    [InlineData(1_000)]
    public async Task Large_fetches_are_sent_from_the_file(int byteCount)
    {
        Kcat.Require();
        Tools.Require("strace");
        string file = Path.GetTempFileName();
        try
        {
            await using StandaloneBroker broker = await StandaloneBroker.StartTracedAsync(
                ["strace", "-f", "--seccomp-bpf", "-yy", "-ttt", "-o", file, "-e", "trace=sendfile"]);
            int recordByteCount = Math.Min(byteCount, RecordByteCount);
            await Kcat.RunAsync(broker, ["-P", "-t", Topic], Enumerable.Range(0, byteCount / recordByteCount).Select(_ => new string('x', recordByteCount)));
            await Kcat.RunAsync(broker, ["-C", "-t", Topic, "-o", "beginning", "-e", "-q"], []);
            RunningProgram.RequestStop(int.Parse(File.ReadAllText($"/proc/{broker.Program.Id}/task/{broker.Program.Id}/children").Trim(), CultureInfo.InvariantCulture));
            await broker.Program.RequireSuccessAsync();

            long sent = SystemCallTrace.Parse(await File.ReadAllLinesAsync(file))
                .Where(call => call.IsEnd && call.Text.Contains(broker.SegmentPath(Topic), StringComparison.Ordinal))
                .Sum(static call => long.TryParse(call.Text[(call.Text.LastIndexOf('=') + 1)..], CultureInfo.InvariantCulture, out long count) ? Math.Max(0, count) : 0);
            Assert.Equal(byteCount > RecordByteCount, sent > byteCount / 2);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
