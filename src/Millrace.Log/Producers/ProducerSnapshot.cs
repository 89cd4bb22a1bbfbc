using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The file <c>&lt;offset&gt;.snapshot</c>: the producers as they stand before that offset. Kafka's format, version 1, and behind it what
/// Kafka does not keep: the older of the last five batches, without which their retries would be written twice after a restart. Kafka
/// reads past it, and its checksum covers it. A file that ends before it, as Kafka writes it, is read too.
/// </summary>
/// <remarks>
/// <code>
/// 2 version 1, 4 CRC-32C of all that follows, 4 number of producers, then for each:
///   8 producer id, 2 epoch, 4 last sequence, 8 last offset (-1: no batch), 4 offset delta, 8 timestamp, 4 coordinator epoch,
///   8 first offset of the open transaction (-1: none)
/// 4 'Mill', 2 version 1, then for each producer, in the same order:
///   8 when it was last heard of (-1: not known), 1 number of older batches, then for each, from the oldest:
///     4 last sequence, 8 last offset, 4 offset delta
/// </code>
/// All numbers are big-endian.
/// </remarks>
internal static class ProducerSnapshot
{
    private const short KafkaVersion = 1;
    private const short OurVersion = 1;
    private const int OurMark = 0x4D696C6C;

    private const int ChecksumPosition = 2;
    private const int CheckedPosition = 6;
    private const int HeaderByteCount = 10;
    private const int ProducerByteCount = 46;
    private const int OurHeaderByteCount = 6;
    private const int OurProducerByteCount = 9;
    private const int OlderBatchByteCount = 16;
    private const long None = -1;

    public static byte[] Write(IEnumerable<ProducerState> producers, int count)
    {
        int maximumOlderByteCount = (ProducerState.RememberedBatchCount - 1) * OlderBatchByteCount;
        int byteCount = HeaderByteCount + OurHeaderByteCount
            + checked(count * (ProducerByteCount + OurProducerByteCount + maximumOlderByteCount));
        byte[] bytes = new byte[byteCount];
        var writer = new Writer(bytes.AsSpan(CheckedPosition));
        writer.Write(count);
        foreach (ProducerState producer in producers)
        {
            WriteProducer(ref writer, producer);
        }

        writer.Write(OurMark);
        writer.Write(OurVersion);
        foreach (ProducerState producer in producers)
        {
            writer.Write(producer.LastHeard);
            int olderCount = Math.Max(producer.BatchCount - 1, 0);
            writer.Write((byte)olderCount);
            for (int age = olderCount + 1; age > 1; age--)
            {
                WriteBatch(ref writer, producer.Batch(age));
            }
        }

        Array.Resize(ref bytes, CheckedPosition + writer.Position);
        BinaryPrimitives.WriteInt16BigEndian(bytes, KafkaVersion);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(ChecksumPosition), Crc32C.Compute(bytes.AsSpan(CheckedPosition)));
        return bytes;
    }

    public static bool TryRead(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out List<ProducerState>? producers)
    {
        producers = null;
        if (bytes.Length < HeaderByteCount || BinaryPrimitives.ReadInt16BigEndian(bytes) != KafkaVersion
            || BinaryPrimitives.ReadUInt32BigEndian(bytes[ChecksumPosition..]) != Crc32C.Compute(bytes[CheckedPosition..]))
        {
            return false;
        }

        var reader = new Reader(bytes[CheckedPosition..]);
        int count = reader.ReadInt32();
        if (count < 0 || count > reader.Remaining / ProducerByteCount)
        {
            return false;
        }

        // The last batch goes in after the older ones: it is kept apart until they are read.
        var read = new List<ProducerState>(count);
        var lastBatches = new List<SequencedBatch?>(count);
        for (int index = 0; index < count; index++)
        {
            ProducerState producer = ReadProducer(ref reader, out SequencedBatch? lastBatch);
            read.Add(producer);
            lastBatches.Add(lastBatch);
        }

        bool hasOurs = reader.Remaining > 0;
        if (hasOurs && (reader.ReadInt32() != OurMark || reader.ReadInt16() != OurVersion))
        {
            return false;
        }

        for (int index = 0; index < count; index++)
        {
            if (hasOurs)
            {
                ReadOurs(ref reader, read[index]);
            }

            if (lastBatches[index] is { } lastBatch)
            {
                read[index].Add(lastBatch);
            }
        }

        producers = read;
        return !reader.IsFaulty && reader.Remaining == 0;
    }

    private static void WriteProducer(ref Writer writer, ProducerState producer)
    {
        writer.Write(producer.Id);
        writer.Write(producer.Epoch);
        if (producer.BatchCount == 0)
        {
            writer.Write(ProducerState.NoSequence);
            writer.Write(None);
            writer.Write(0);
        }
        else
        {
            WriteBatch(ref writer, producer.Batch(1));
        }

        writer.Write(producer.LastTimestamp);
        writer.Write(producer.CoordinatorEpoch);
        writer.Write(producer.TransactionFirstOffset?.Value ?? None);
    }

    private static void WriteBatch(ref Writer writer, SequencedBatch batch)
    {
        writer.Write(batch.LastSequence);
        writer.Write(batch.LastOffset.Value);
        writer.Write((int)(batch.LastOffset - batch.BaseOffset));
    }

    private static ProducerState ReadProducer(ref Reader reader, out SequencedBatch? lastBatch)
    {
        var producer = new ProducerState(reader.ReadInt64());
        producer.SetEpoch(reader.ReadInt16());
        SequencedBatch batch = ReadBatch(ref reader, producer.Epoch);
        lastBatch = batch.LastOffset < Offset.Zero ? null : batch;
        producer.LastTimestamp = reader.ReadInt64();
        producer.CoordinatorEpoch = reader.ReadInt32();
        long transactionFirstOffset = reader.ReadInt64();
        producer.TransactionFirstOffset = transactionFirstOffset < 0 ? null : new Offset(transactionFirstOffset);
        if (producer.Id < 0)
        {
            reader.Fail();
        }

        return producer;
    }

    private static SequencedBatch ReadBatch(ref Reader reader, short epoch)
    {
        int lastSequence = reader.ReadInt32();
        var lastOffset = new Offset(reader.ReadInt64());
        int offsetDelta = reader.ReadInt32();
        int baseSequence = lastSequence < 0 ? ProducerState.NoSequence : Sequence.Add(lastSequence, -offsetDelta);
        return new SequencedBatch(epoch, baseSequence, lastSequence, lastOffset + -offsetDelta, lastOffset);
    }

    private static void ReadOurs(ref Reader reader, ProducerState producer)
    {
        producer.LastHeard = reader.ReadInt64();
        int olderCount = reader.ReadByte();
        if (olderCount >= ProducerState.RememberedBatchCount)
        {
            reader.Fail();
        }

        for (int older = 0; older < olderCount && !reader.IsFaulty; older++)
        {
            producer.Add(ReadBatch(ref reader, producer.Epoch));
        }
    }

    private ref struct Writer(Span<byte> bytes)
    {
        private readonly Span<byte> _bytes = bytes;

        public int Position { get; private set; }

        public void Write(byte value) => _bytes[Position++] = value;

        public void Write(short value)
        {
            BinaryPrimitives.WriteInt16BigEndian(_bytes[Position..], value);
            Position += sizeof(short);
        }

        public void Write(int value)
        {
            BinaryPrimitives.WriteInt32BigEndian(_bytes[Position..], value);
            Position += sizeof(int);
        }

        public void Write(long value)
        {
            BinaryPrimitives.WriteInt64BigEndian(_bytes[Position..], value);
            Position += sizeof(long);
        }
    }

    /// <summary>After the first read beyond the end every read gives zero.</summary>
    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _bytes = bytes;

        public bool IsFaulty { get; private set; }

        public readonly int Remaining => _bytes.Length;

        public void Fail() => IsFaulty = true;

        public byte ReadByte() => Take(sizeof(byte)) is [var value] ? value : (byte)0;

        public short ReadInt16() => Take(sizeof(short)) is { IsEmpty: false } taken ? BinaryPrimitives.ReadInt16BigEndian(taken) : (short)0;

        public int ReadInt32() => Take(sizeof(int)) is { IsEmpty: false } taken ? BinaryPrimitives.ReadInt32BigEndian(taken) : 0;

        public long ReadInt64() => Take(sizeof(long)) is { IsEmpty: false } taken ? BinaryPrimitives.ReadInt64BigEndian(taken) : 0;

        private ReadOnlySpan<byte> Take(int byteCount)
        {
            if (IsFaulty || byteCount > _bytes.Length)
            {
                IsFaulty = true;
                return [];
            }

            ReadOnlySpan<byte> taken = _bytes[..byteCount];
            _bytes = _bytes[byteCount..];
            return taken;
        }
    }
}
