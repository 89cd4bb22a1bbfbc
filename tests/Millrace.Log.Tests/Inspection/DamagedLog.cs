using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

/// <summary>
/// A log of nine offsets in segments of two batches, with an aborted transaction (offsets 0, marker 3) and a committed one, and beside it a sibling
/// partition and another topic. Every batch is indexed.
/// </summary>
internal sealed class DamagedLog
{
    public const int EndOffset = 9;
    public const string Sibling = LogHarness.Root + "/orders-1";

    private static readonly ProducerIdentity Seven = new(7, 0);
    private static readonly int BatchByteCount = LogHarness.Batch().Length;

    private DamagedLog(LogHarness harness) => Harness = harness;

    public LogHarness Harness { get; }

    public static TopicPartition OtherPartition { get; } = new("payments", 0);

    /// <summary>It runs.</summary>
    public static DamagedLog Running()
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.SegmentByteCount = 2 * BatchByteCount;
            options.IndexIntervalByteCount = 0;
        });
        harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        harness.LogDirectory.Create(OtherPartition, new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)).Append(LogHarness.Batch(), AppendDurability.Disk);
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 0, isTransactional: true));
        harness.AppendMany(2);
        harness.Log.AppendMarker(Seven, isCommit: false, coordinatorEpoch: 0);
        harness.Append(LogHarness.Batch(producerId: 7, sequence: 1, isTransactional: true, timestamp: 2000));
        harness.Log.AppendMarker(Seven, isCommit: true, coordinatorEpoch: 0);
        harness.AppendMany(3);
        return new DamagedLog(harness);
    }

    /// <summary>It was stopped.</summary>
    public static DamagedLog Stopped()
    {
        DamagedLog log = Running();
        log.Harness.LogDirectory.Close();
        return log;
    }

    public static string PathOf(long segment, string suffix) => $"{LogHarness.Directory}/{segment:D20}{suffix}";

    public void FlipBit(string path, long position) => Harness.Storage.FlipBit(path, position);

    /// <summary>What a check of the directory finds, without what is only worth knowing.</summary>
    public List<InspectionFinding> Check(params TopicPartition[] partitions) => [.. CheckWithNotes(partitions).Where(static finding => !finding.IsNote)];

    public List<InspectionFinding> CheckWithNotes(params TopicPartition[] partitions)
    {
        List<InspectionFinding> findings = [];
        LogInspection.Run(Harness.Options, Harness.Storage, partitions, findings.Add);
        return findings;
    }
}
