using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What the log says to a person when it cannot go on: what, where, and what to do next.</summary>
internal static class Sentences
{
    public const string AfterDiskError =
        "What was acknowledged as on the disk is safe. Mend the cause: the partition is tried again each minute or sooner, its tail is judged "
        + "anew, and it comes back by itself.";

    /// <summary>What to do about damage in bytes that were on the disk.</summary>
    public static string AfterDamage(string dataDirectory, TopicPartition partition, Offset offset) =>
        "The partition is offline and nothing was cut. Restore the file from a copy; or, to give up the records from offset "
        + $"{offset} on, stop and {Repair(dataDirectory, partition)}, which cuts the log there and keeps what it cuts in "
        + $"{FileNames.CutSuffix} files.";

    public static string Repair(string dataDirectory, TopicPartition partition) => $"run 'millrace log repair {dataDirectory} {partition}'";

    public static string Place(Offset segmentBaseOffset, TopicPartition partition, long position) =>
        $"Segment {FileNames.Segment(segmentBaseOffset, FileNames.LogSuffix)} of {partition} at byte {position}";

    public static string Describe(BatchVerdict verdict) => verdict switch
    {
        BatchVerdict.Incomplete => "ends in the middle of a batch",
        BatchVerdict.BadLength => "has an impossible batch length",
        BatchVerdict.UnsupportedMagic => "has a batch of an unknown format",
        BatchVerdict.BadChecksum => "fails its checksum",
        BatchVerdict.BadCounts => "has a batch whose counts contradict each other",
        _ => "has no batch",
    };
}
