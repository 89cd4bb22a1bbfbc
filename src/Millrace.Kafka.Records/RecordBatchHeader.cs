using System.Buffers.Binary;

namespace Millrace.Kafka.Records;

/// <summary>
/// The fixed part of a record batch of version 2. The same bytes travel on the wire and lie on the disk; all numbers are big-endian.
/// </summary>
/// <remarks>
/// <code>
/// offset size field
///      0    8 base offset             assigned by the broker, not covered by the checksum
///      8    4 batch length            bytes that follow this field
///     12    4 partition leader epoch  assigned by the broker, not covered by the checksum
///     16    1 magic                   2
///     17    4 CRC-32C                 of everything from the attributes to the end
///     21    2 attributes              0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
///     23    4 last offset delta
///     27    8 base timestamp          milliseconds since 1970
///     35    8 max timestamp
///     43    8 producer id             -1: none
///     51    2 producer epoch
///     53    4 base sequence           -1: none
///     57    4 record count
///     61      records
/// </code>
/// </remarks>
public readonly record struct RecordBatchHeader
{
    public const int ByteCount = 61;
    public const byte CurrentMagic = 2;

    /// <summary>Bytes before the part that <see cref="BatchLength"/> counts.</summary>
    public const int LengthPrefixByteCount = 12;

    /// <summary>The smallest value that the length field of a batch can have: a header and no records.</summary>
    public const int MinimumBatchLength = ByteCount - LengthPrefixByteCount;

    /// <summary>Where the part begins that the checksum covers.</summary>
    public const int ChecksummedPosition = AttributesPosition;

    internal const int BaseOffsetPosition = 0;
    internal const int BatchLengthPosition = 8;
    internal const int LeaderEpochPosition = 12;
    internal const int MagicPosition = 16;
    internal const int ChecksumPosition = 17;
    internal const int AttributesPosition = 21;
    internal const int LastOffsetDeltaPosition = 23;
    internal const int BaseTimestampPosition = 27;
    internal const int MaxTimestampPosition = 35;
    internal const int ProducerIdPosition = 43;
    internal const int ProducerEpochPosition = 51;
    internal const int BaseSequencePosition = 53;
    internal const int RecordCountPosition = 57;

    internal const int CodecMask = 0x07;
    internal const int LogAppendTimeFlag = 0x08;
    private const int TransactionalFlag = 0x10;
    private const int ControlFlag = 0x20;
    internal const int DeleteHorizonFlag = 0x40;

    public required Offset BaseOffset { get; init; }
    public required int BatchLength { get; init; }
    public required int LeaderEpoch { get; init; }
    public required byte Magic { get; init; }
    public required uint Checksum { get; init; }
    public required short Attributes { get; init; }
    public required int LastOffsetDelta { get; init; }
    public required long BaseTimestamp { get; init; }
    public required long MaxTimestamp { get; init; }
    public required ProducerIdentity Producer { get; init; }
    public required int BaseSequence { get; init; }
    public required int RecordCount { get; init; }

    /// <summary>Bytes of the whole batch, its header included.</summary>
    public int TotalByteCount => LengthPrefixByteCount + BatchLength;

    public Offset LastOffset => BaseOffset + LastOffsetDelta;

    /// <summary>The offset that the record after this batch gets.</summary>
    public Offset NextOffset => BaseOffset + LastOffsetDelta + 1L;

    public int CodecBits => Attributes & CodecMask;
    public CompressionCodec Codec => (CompressionCodec)CodecBits;
    public bool IsLogAppendTime => (Attributes & LogAppendTimeFlag) != 0;
    public bool IsTransactional => (Attributes & TransactionalFlag) != 0;
    /// <summary>From when on its tombstones, or its marker, may go; compaction has put it in place of the base timestamp (KIP-534).</summary>
    public long? DeleteHorizon => (Attributes & DeleteHorizonFlag) != 0 ? BaseTimestamp : null;

    public bool IsControl => (Attributes & ControlFlag) != 0;

    /// <summary>The sequence number of the last record; -1 where there is none. Sequences wrap from 2^31-1 to 0.</summary>
    public int LastSequence => BaseSequence < 0 ? -1 : Sequence.Add(BaseSequence, LastOffsetDelta);

    /// <summary>The timestamp of a record: that of its batch where the broker stamped it, else counted from the base, wrapping as writers do.</summary>
    internal long TimestampOf(long timestampDelta) =>
        IsLogAppendTime ? MaxTimestamp : unchecked(BaseTimestamp + timestampDelta);

    internal static short AttributesFor(CompressionCodec codec, bool isTransactional, bool isControl) =>
        (short)((int)codec | (isTransactional ? TransactionalFlag : 0) | (isControl ? ControlFlag : 0));

    /// <summary>Reads the header at the start of <paramref name="bytes"/> without judging it.</summary>
    /// <exception cref="ArgumentException">Fewer than <see cref="ByteCount"/> bytes.</exception>
    public static RecordBatchHeader Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < ByteCount)
        {
            throw new ArgumentException($"A record batch header has {ByteCount} bytes; there are {bytes.Length}.", nameof(bytes));
        }

        return new RecordBatchHeader
        {
            BaseOffset = new Offset(BinaryPrimitives.ReadInt64BigEndian(bytes)),
            BatchLength = BinaryPrimitives.ReadInt32BigEndian(bytes[BatchLengthPosition..]),
            LeaderEpoch = BinaryPrimitives.ReadInt32BigEndian(bytes[LeaderEpochPosition..]),
            Magic = bytes[MagicPosition],
            Checksum = BinaryPrimitives.ReadUInt32BigEndian(bytes[ChecksumPosition..]),
            Attributes = BinaryPrimitives.ReadInt16BigEndian(bytes[AttributesPosition..]),
            LastOffsetDelta = BinaryPrimitives.ReadInt32BigEndian(bytes[LastOffsetDeltaPosition..]),
            BaseTimestamp = BinaryPrimitives.ReadInt64BigEndian(bytes[BaseTimestampPosition..]),
            MaxTimestamp = BinaryPrimitives.ReadInt64BigEndian(bytes[MaxTimestampPosition..]),
            Producer = new ProducerIdentity(
                BinaryPrimitives.ReadInt64BigEndian(bytes[ProducerIdPosition..]),
                BinaryPrimitives.ReadInt16BigEndian(bytes[ProducerEpochPosition..])),
            BaseSequence = BinaryPrimitives.ReadInt32BigEndian(bytes[BaseSequencePosition..]),
            RecordCount = BinaryPrimitives.ReadInt32BigEndian(bytes[RecordCountPosition..]),
        };
    }

    /// <summary>Writes every field, the checksum as it stands.</summary>
    internal void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt64BigEndian(bytes, BaseOffset.Value);
        BinaryPrimitives.WriteInt32BigEndian(bytes[BatchLengthPosition..], BatchLength);
        BinaryPrimitives.WriteInt32BigEndian(bytes[LeaderEpochPosition..], LeaderEpoch);
        bytes[MagicPosition] = Magic;
        BinaryPrimitives.WriteUInt32BigEndian(bytes[ChecksumPosition..], Checksum);
        BinaryPrimitives.WriteInt16BigEndian(bytes[AttributesPosition..], Attributes);
        BinaryPrimitives.WriteInt32BigEndian(bytes[LastOffsetDeltaPosition..], LastOffsetDelta);
        BinaryPrimitives.WriteInt64BigEndian(bytes[BaseTimestampPosition..], BaseTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(bytes[MaxTimestampPosition..], MaxTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(bytes[ProducerIdPosition..], Producer.Id);
        BinaryPrimitives.WriteInt16BigEndian(bytes[ProducerEpochPosition..], Producer.Epoch);
        BinaryPrimitives.WriteInt32BigEndian(bytes[BaseSequencePosition..], BaseSequence);
        BinaryPrimitives.WriteInt32BigEndian(bytes[RecordCountPosition..], RecordCount);
    }
}
