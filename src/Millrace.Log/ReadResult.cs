using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The outcome of <see cref="PartitionLog.Read"/>: one of the three nested records.</summary>
public abstract record ReadResult
{
    private ReadResult()
    {
    }

    /// <summary>
    /// Whole, checked batches, or nothing. The first may begin below the offset asked for. The memory is plain and garbage-collected:
    /// it belongs to the caller, is never reused, and nothing has to be given back.
    /// </summary>
    public sealed record Data(ReadOnlyMemory<byte> Batches) : ReadResult;

    /// <summary>The offset asked for is before the log's start or after its end.</summary>
    public sealed record OutOfRange(Offset LogStartOffset, Offset LogEndOffset) : ReadResult;

    /// <summary>The partition is offline, maybe because this read found damage.</summary>
    public sealed record Offline(string Reason) : ReadResult;
}
