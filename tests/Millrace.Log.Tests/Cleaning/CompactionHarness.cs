using System.Text;
using Millrace.Kafka.Records;
using Record = Millrace.Kafka.Records.Record;

namespace Millrace.Log.Tests;

/// <summary>A compacted topic whose segments hold one small batch each, unless told otherwise.</summary>
internal sealed class CompactionHarness
{
    public const long DeleteRetention = 10_000;
    private const int OneBatch = 130;

    public CompactionHarness(int segmentByteCount = OneBatch, Dictionary<string, string>? settings = null, int seed = 1)
    {
        Harness = LogHarness.WithPartition(options => options.SegmentByteCount = segmentByteCount, seed);
        settings ??= [];
        settings.TryAdd("cleanup.policy", "compact");
        settings.TryAdd("delete.retention.ms", $"{DeleteRetention}");
        settings.TryAdd("file.delete.delay.ms", "0");
        Harness.LogDirectory.SetOverrides("orders", settings);
    }

    public LogHarness Harness { get; }

    public PartitionLog Log => Harness.Log;

    public long Now => Harness.Time.GetUtcNow().ToUnixTimeMilliseconds();

    public static byte[] Batch(
        IReadOnlyList<(string Key, string? Value)> records,
        CompressionCodec codec = CompressionCodec.None,
        ProducerIdentity? producer = null,
        int sequence = 0,
        bool isTransactional = false,
        long timestamp = 1000)
    {
        var builder = new RecordBatchBuilder(codec);
        foreach ((string key, string? value) in records)
        {
            ReadOnlyMemory<byte>? bytes = null;
            if (value is not null)
            {
                bytes = Encoding.UTF8.GetBytes(value);
            }

            builder.Append(timestamp, Encoding.UTF8.GetBytes(key), bytes, [new RecordHeader("h", Encoding.UTF8.GetBytes(key))]);
        }

        return builder.Build(producer ?? ProducerIdentity.None, sequence, isTransactional).ToArray();
    }

    public void Append(string key, string? value) => Append(Batch([(key, value)]));

    public void Append(byte[] batch) => Assert.IsType<AppendResult.Appended>(Log.Append(batch, AppendDurability.PageCache));

    /// <summary>Closes the active segment by a record that nothing replaces, and puts all on the disk.</summary>
    public void Close()
    {
        Append($"close-{Log.LogEndOffset}", "x");
        Harness.Sync();
    }

    public CleaningOutcome Compact(long keyMemoryByteCount = 1 << 20, Func<bool>? isStopped = null)
    {
        CleaningPlan plan = Log.PlanCleaning(Now) ?? throw new InvalidOperationException("There is nothing to compact.");
        return Log.Compact(plan, new CleaningLimits(keyMemoryByteCount, 0.9, 4096, Now, isStopped ?? (static () => false)));
    }

    public List<RecordBatchHeader> Headers()
    {
        List<RecordBatchHeader> headers = [];
        ForEachBatch((header, _) => headers.Add(header));
        return headers;
    }

    /// <summary>What is in the log, but for markers and the records that closed segments: offset, key and value.</summary>
    public List<string> Records()
    {
        List<string> records = [];
        ForEachBatch((header, batch) =>
        {
            if (!header.IsControl)
            {
                records.AddRange(RecordBatchReader.Read(batch).Where(static record => !Text(record.Key).StartsWith("close", StringComparison.Ordinal)).Select(Describe));
            }
        });
        return records;
    }

    public static string Describe(Record record) => $"{record.Offset}:{Text(record.Key)}={(record.Value is null ? "null" : Text(record.Value))}";

    private static string Text(ReadOnlyMemory<byte>? bytes) => Encoding.UTF8.GetString(bytes.GetValueOrDefault().Span);

    private void ForEachBatch(Action<RecordBatchHeader, ReadOnlyMemory<byte>> visit)
    {
        for (Offset next = Log.LogStartOffset; next < Log.LogEndOffset;)
        {
            var data = Assert.IsType<ReadResult.Data>(Log.Read(next, 1000, atLeastOneBatch: true, Log.LogEndOffset));
            Assert.True(data.NextOffset > next, $"Nothing is read at {next}.");
            next = data.NextOffset;
            ReadOnlyMemory<byte> batches = data.Batches;
            while (!batches.IsEmpty)
            {
                RecordBatchHeader header = RecordBatchHeader.Read(batches.Span);
                visit(header, batches[..header.TotalByteCount]);
                batches = batches[header.TotalByteCount..];
            }
        }
    }
}
