using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests.Kills;

/// <summary>Reads a partition onward with kcat, each time from where it came to the last time.</summary>
internal sealed class PartitionReader(StandaloneBroker broker, string topic, int partition, string isolationLevel)
{
    private long _next;

    /// <summary>The values that have come since, in the order of their offsets, up to the end that this isolation level sees.</summary>
    public async Task<IReadOnlyList<string>> ReadOnAsync()
    {
        IReadOnlyList<string> lines = await Kcat.RunAsync(
            broker,
            [
                "-C", "-t", topic, "-p", $"{partition}", "-o", $"{_next}", "-e", "-q", "-f", "%o %s\\n",
                "-X", $"isolation.level={isolationLevel}", "-X", "reconnect.backoff.max.ms=200", "-X", "check.crcs=true",
            ]);
        List<string> values = [];
        foreach (string line in lines)
        {
            string[] parts = line.Split(' ');
            long offset = long.Parse(parts[0]);
            Assert.True(offset >= _next, $"{topic}-{partition}: offset {offset} came after offset {_next - 1}.");
            _next = offset + 1;
            values.Add(parts[1]);
        }

        return values;
    }
}
