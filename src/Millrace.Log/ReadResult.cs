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
    /// <param name="NextOffset">The offset that follows the last batch; the one asked for where there is none.</param>
    public sealed record Data(ReadOnlyMemory<byte> Batches, Offset NextOffset) : ReadResult
    {
        /// <summary>What was aborted among the batches, for who asked for it; in the order of the markers.</summary>
        public IReadOnlyList<AbortedTransaction> Aborted { get; init; } = [];
    }

    /// <summary>
    /// Whole batches in a file, whose headers were looked at and whose checksums were not: the reader's are what tells him of damage. The piece
    /// is the caller's, who disposes it.
    /// </summary>
    public sealed record InFile(LogPiece Piece) : ReadResult
    {
        /// <inheritdoc cref="Data.Aborted"/>
        public IReadOnlyList<AbortedTransaction> Aborted { get; init; } = [];
    }

    /// <summary>The offset asked for is before the log's start or after its end.</summary>
    public sealed record OutOfRange(Offset LogStartOffset, Offset LogEndOffset) : ReadResult;

    /// <summary>The partition is offline, maybe because this read found damage.</summary>
    public sealed record Offline(string Reason) : ReadResult;
}
