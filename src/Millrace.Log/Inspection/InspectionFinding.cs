using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>One thing that an inspection found, as a sentence that says what, where, and what to do.</summary>
/// <param name="Partition">Null where it concerns the whole directory.</param>
/// <param name="Path">The file.</param>
/// <param name="Position">The byte in it, where there is one.</param>
/// <param name="Offset">The first offset that is concerned, where there is one.</param>
/// <param name="IsNote">Whether it is worth knowing and nothing is wrong.</param>
public sealed record InspectionFinding(
    TopicPartition? Partition, string Path, long? Position, Offset? Offset, string Description, bool IsNote)
{
    public override string ToString()
    {
        string position = Position is { } value ? $", byte {value}" : "";
        string offset = Offset is { } first ? $", offset {first}" : "";
        return $"{Path}{position}{offset}: {Description}";
    }
}

/// <summary>What an inspection has read, and how much of it was wrong.</summary>
public sealed record InspectionSummary(
    int PartitionCount, int SegmentCount, long BatchCount, long ByteCount, int FindingCount, bool WasInUse);
