using System.Runtime.InteropServices;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Compresses batches as their topic wants it (compression.type), where their producer has not.</summary>
internal static class Recompression
{
    /// <summary>
    /// The batch as it is to be stored. It is returned as it came where it has the codec that is wanted, and where the log refuses it anyway: what is wrong with it must not be hidden under a new
    /// checksum.
    /// </summary>
    /// <exception cref="CodecUnavailableException">The system has not the library of a codec.</exception>
    /// <exception cref="InvalidRecordBatchException">The records cannot be read.</exception>
    public static Memory<byte> Apply(ReadOnlyMemory<byte> batch, TopicLogSettings topic)
    {
        // A batch lies in the frame of its request, which is the broker's own.
        Memory<byte> asItCame = MemoryMarshal.AsMemory(batch);
        if (topic.Compression is not { } codec || batch.Length > topic.MaximumBatchByteCount)
        {
            return asItCame;
        }

        bool isRefused = RecordBatch.Check(batch.Span, out RecordBatchHeader header) != BatchVerdict.Valid || header.IsControl || header.RecordCount == 0;
        if (isRefused || header.Codec == codec)
        {
            return asItCame;
        }

        return RecordBatchCompaction.Recompress(batch.Span, codec);
    }
}
