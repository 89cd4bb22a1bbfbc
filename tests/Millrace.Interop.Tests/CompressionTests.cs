using System.Buffers.Binary;
using Millrace.Interop.Tests.Programs;
using Millrace.Kafka.Records;

namespace Millrace.Interop.Tests;

/// <summary>A compressed batch is the same bytes from the producer to the disk and from the disk to the consumer.</summary>
public sealed class CompressionTests
{
    private const int BaseOffsetAndLengthByteCount = 12;
    private const int LeaderEpochEnd = 16;
    private const int AttributesAt = 21;

    private static readonly string[] s_codecs = ["none", "gzip", "snappy", "lz4", "zstd"];

    /// <summary>zstd, which old clients send only to a broker that offers the right versions; all of them when MILLRACE_ALL_CODECS is 1.</summary>
    public static TheoryData<string> Codecs
        => Environment.GetEnvironmentVariable("MILLRACE_ALL_CODECS") is "1" ? [.. s_codecs] : ["zstd"];

    [Theory]
    [MemberData(nameof(Codecs))]
    public async Task A_compressed_batch_passes_through_untouched(string codec)
    {
        Kcat.Require();
        await using CapturingProxy proxy = new();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync("--advertise", proxy.EndPoint.ToString());
        proxy.ForwardTo(broker.EndPoint);
        (string Key, string Text)[] lines = [.. Corpus.Lines(2_000)];
        await Kcat.RunAsync(
            broker, ["-P", "-t", "packed", "-z", codec, "-K", "\t", "-X", "linger.ms=200"], lines.Select(line => $"{line.Key}\t{line.Text}"));

        byte[] onDisk = broker.ReadSegment("packed");
        byte[] onTheWire = await RawConnection.FetchAsync(broker.EndPoint, new TopicPartition("packed", 0), 0);

        List<byte[]> batches = Split(onDisk);
        Assert.NotEmpty(batches);
        Assert.Equal(onDisk, onTheWire);
        Assert.All(batches, batch =>
        {
            Assert.Equal(Array.IndexOf(s_codecs, codec), batch[AttributesAt + 1] & 7);
            Assert.True(proxy.HasSent(batch.AsSpan(LeaderEpochEnd)), "The batch on the disk is not the one that the producer sent.");
        });
        Assert.Equal(lines, (await Kcat.ReadAllAsync(broker, "packed")).Select(record => (record.Key!, record.Payload ?? "")));
    }

    private static List<byte[]> Split(byte[] segment)
    {
        List<byte[]> batches = [];
        for (int position = 0; position < segment.Length;)
        {
            int byteCount = BaseOffsetAndLengthByteCount + BinaryPrimitives.ReadInt32BigEndian(segment.AsSpan(position + 8));
            if (byteCount == BaseOffsetAndLengthByteCount)
            {
                break;
            }

            batches.Add(segment[position..(position + byteCount)]);
            position += byteCount;
        }

        return batches;
    }
}
