using System.Text;
using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>What the operating system saw: the sync of a record's file, or of the journal that has the record, returns before its acknowledgement leaves.</summary>
public sealed class AcknowledgementTraceTests
{
    private const string Topic = "traced";
    private const int RecordCount = 20;

    [Fact]
    public async Task With_acks_all_the_sync_returns_before_the_response_leaves()
    {
        Trace trace = await TraceAsync("-1");

        Assert.Equal(RecordCount, trace.Responses.Count);
        Assert.All(trace.Responses, response => Assert.True(response.IsSynced, "A response left before the sync of its record had returned."));
        Assert.True(trace.IsPartitionDirectorySynced, "The first response left before the directory of its new segment was synced.");
        Assert.True(trace.IsDataDirectorySynced, "The first response left before the data directory, which has a new entry, was synced.");
    }

    [Fact]
    public async Task With_acks_1_the_response_does_not_wait_for_the_sync()
    {
        Trace trace = await TraceAsync("1");

        Assert.Equal(RecordCount, trace.Responses.Count);
        Assert.Contains(trace.Responses, response => !response.IsSynced);
    }

    private static async Task<Trace> TraceAsync(string acks)
    {
        Kcat.Require();
        Tools.Require("strace");
        string file = Path.GetTempFileName();
        try
        {
            string[] tracer =
            [
                "strace", "-f", "--seccomp-bpf", "-yy", "-ttt", "-xx", "-s", "64", "-o", file,
                "-e", "trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg",
            ];
            await using StandaloneBroker broker = await StandaloneBroker.StartTracedAsync(tracer);
            // One record a batch, one batch a request, one request at a time: what is written, synced and sent belongs together.
            await Kcat.RunAsync(
                broker,
                ["-P", "-t", Topic, "-X", $"topic.acks={acks}", "-X", "batch.num.messages=1", "-X", "max.in.flight.requests.per.connection=1"],
                Enumerable.Range(0, RecordCount).Select(number => $"record {number}"));
            RunningProgram.RequestStop(TracedProcessId(broker.Program.Id));
            await broker.Program.RequireSuccessAsync();
            return Read(await File.ReadAllLinesAsync(file), broker);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static int TracedProcessId(int tracerId) => int.Parse(File.ReadAllText($"/proc/{tracerId}/task/{tracerId}/children").Trim());

    private static Trace Read(string[] lines, StandaloneBroker broker)
    {
        string segment = Printed($"/{Topic}-0/00000000000000000000.log");
        string partitionDirectory = Printed($"/{Topic}-0");
        string dataDirectory = Printed(broker.DataDirectory);
        string journal = Printed("/commit-journal.");
        string journalRound = Printed("MRJOURNL");
        string response = ResponsePattern();
        Trace trace = new();
        bool isSyncBegun = false;
        bool isJournaled = false;
        bool isJournalSyncBegun = false;
        bool isSynced = true;
        foreach (SystemCallEvent call in SystemCallTrace.Parse(lines))
        {
            string descriptor = call.Text[..Math.Max(0, call.Text.IndexOf('>', StringComparison.Ordinal))];
            switch (call)
            {
                case { Name: "pwrite64" or "pwritev" or "write" or "writev", IsEnd: true } when descriptor.EndsWith(segment, StringComparison.Ordinal):
                    isSyncBegun = false;
                    isJournaled = false;
                    isJournalSyncBegun = false;
                    isSynced = false;
                    break;

                // One request at a time: a round of the journal that is written after the record has it.
                case { Name: "pwrite64", IsEnd: true } when descriptor.Contains(journal, StringComparison.Ordinal) && call.Text.Contains(journalRound, StringComparison.Ordinal):
                    isJournaled = true;
                    break;
                case { Name: "fdatasync", IsEnd: false } when descriptor.Contains(journal, StringComparison.Ordinal):
                    isJournalSyncBegun = isJournaled;
                    break;
                case { Name: "fdatasync", IsEnd: true } when descriptor.Contains(journal, StringComparison.Ordinal):
                    isSynced |= isJournalSyncBegun && call.Text.EndsWith("= 0", StringComparison.Ordinal);
                    break;

                // A sync that began before the write was done promises nothing about it.
                case { Name: "fdatasync" or "fsync", IsEnd: false } when descriptor.EndsWith(segment, StringComparison.Ordinal):
                    isSyncBegun = true;
                    break;
                case { Name: "fdatasync" or "fsync", IsEnd: true } when descriptor.EndsWith(segment, StringComparison.Ordinal):
                    isSynced |= isSyncBegun && call.Text.EndsWith("= 0", StringComparison.Ordinal);
                    break;
                case { Name: "fsync", IsEnd: true } when trace.Responses.Count == 0:
                    trace.IsPartitionDirectorySynced |= descriptor.EndsWith(partitionDirectory, StringComparison.Ordinal);
                    trace.IsDataDirectorySynced |= descriptor.EndsWith(dataDirectory, StringComparison.Ordinal);
                    break;
                case { Name: "sendto" or "sendmsg" or "write" or "writev", IsEnd: false } when call.Text.Contains(response, StringComparison.Ordinal):
                    trace.Responses.Add(new Response(isSynced));
                    break;
            }
        }

        return trace;
    }

    /// <summary>Where a produce response names its only topic: an array of one, the name's length, the name.</summary>
    private static string ResponsePattern()
        => Printed($"\0\0\0\u0001\0{(char)Topic.Length}{Topic}");

    /// <summary>As strace -xx prints texts and the paths of descriptors.</summary>
    private static string Printed(string text) => string.Concat(Encoding.UTF8.GetBytes(text).Select(value => $"\\x{value:x2}"));

    private sealed record Response(bool IsSynced);

    private sealed class Trace
    {
        public List<Response> Responses { get; } = [];

        public bool IsPartitionDirectorySynced { get; set; }

        public bool IsDataDirectorySynced { get; set; }
    }
}
