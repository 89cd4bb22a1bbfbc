using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>An index has an entry that cannot be true. It is made anew where its partition comes back with this segment under suspicion.</summary>
internal sealed class DamagedIndexException(string path, int entry, Offset segmentBaseOffset)
    : IOException($"{path} has in entry {entry} what no batch gives, and is made anew from the batches.")
{
    public Offset SegmentBaseOffset { get; } = segmentBaseOffset;
}
