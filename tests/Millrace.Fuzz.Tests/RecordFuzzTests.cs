using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Fuzz.Tests;

public sealed class RecordFuzzTests
{
    private const int MaximumDecompressedByteCount = 64 * 1024;

    // An exception, its message and its stack; a pool's first arrays on this thread.
    private const int FixedByteCount = 64 * 1024;

    // Records, headers and their names: at most 20 bytes for each byte that they are read from.
    private const int BytesPerRecordByte = 20;

    // The pooled arrays double up to the bound, then the result is copied out; snappy decodes each block into an array of its own.
    private const int BytesPerDecompressedByte = 6;

    private static readonly CompressionCodec[] Codecs =
    [
        CompressionCodec.None, CompressionCodec.Gzip, CompressionCodec.Snappy, CompressionCodec.Lz4, CompressionCodec.Zstd,
    ];

    public static TheoryData<CompressionCodec> EveryCodec => [.. Codecs];

    [Fact]
    public void Mutated_batches_are_read_or_refused() =>
        FuzzCampaign.Run(
            nameof(Mutated_batches_are_read_or_refused),
            [.. Codecs.SelectMany(Batches)],
            Reseal,
            Judge,
            input => FixedByteCount + (BytesPerRecordByte * (2L * input.Length)) + ((BytesPerRecordByte + (3L * BytesPerDecompressedByte)) * MaximumDecompressedByteCount));

    [Fact]
    public void Mutated_batches_without_compression_cost_what_their_bytes_cost() =>
        FuzzCampaign.Run(
            nameof(Mutated_batches_without_compression_cost_what_their_bytes_cost),
            [.. Batches(CompressionCodec.None)],
            (batch, random) => Reseal(WithCodec(batch, CompressionCodec.None), random),
            Judge,
            input => FixedByteCount + (2L * BytesPerRecordByte * input.Length));

    [Theory]
    [MemberData(nameof(EveryCodec))]
    public void Mutated_compressed_bytes_are_decompressed_or_refused(CompressionCodec codec)
    {
        byte[][] contents = [[], [1], new byte[5_000], Prose(3_000), Prose(50_000), [.. Prose(100), .. new byte[40_000]]];
        FuzzCampaign.Run(
            nameof(Mutated_compressed_bytes_are_decompressed_or_refused),
            [.. contents.Select(content => Compression.Compress(codec, content))],
            (input, _) => input,
            input => Decompress(codec, input),
            input => FixedByteCount + (2L * input.Length) + ((long)BytesPerDecompressedByte * MaximumDecompressedByteCount));
    }

    [Fact]
    public void The_campaign_catches_a_decoder_that_believes_a_claimed_length()
    {
        Exception? caught = Xunit.Record.Exception(() => FuzzCampaign.Run(
            nameof(The_campaign_catches_a_decoder_that_believes_a_claimed_length),
            [[0, 0, 0, 2, 1, 2]],
            (input, _) => input,
            input =>
            {
                int claimed = input.Length < 4 ? 0 : BinaryPrimitives.ReadInt32BigEndian(input) & 0xFFFFFF;
                GC.KeepAlive(new byte[claimed]);
            },
            input => FixedByteCount + input.Length));
        Assert.Contains("Replay: MILLRACE_FUZZ_SEED=", caught?.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_campaign_catches_a_decoder_that_reads_beyond_its_input()
    {
        Exception? caught = Xunit.Record.Exception(() => FuzzCampaign.Run(
            nameof(The_campaign_catches_a_decoder_that_reads_beyond_its_input),
            [[2, 1, 2]],
            (input, _) => input,
            input => GC.KeepAlive(input.Length == 0 ? 0 : input[input[0]]),
            _ => FixedByteCount));
        Assert.Contains(nameof(IndexOutOfRangeException), caught?.Message, StringComparison.Ordinal);
    }

    private static void Judge(byte[] input)
    {
        BatchVerdict verdict = RecordBatch.Check(input, out RecordBatchHeader header);
        GC.KeepAlive((verdict, header.LastOffset, header.NextOffset, header.LastSequence));

        // The reader must bear what the door would have refused: files are read by tools that skip the checksum.
        string? readFault = null;
        string? validateFault = null;
        try
        {
            _ = RecordBatchReader.Read(input, MaximumDecompressedByteCount);
        }
        catch (InvalidRecordBatchException exception)
        {
            readFault = exception.Message;
        }

        try
        {
            RecordBatchReader.Validate(input, MaximumDecompressedByteCount);
        }
        catch (InvalidRecordBatchException exception)
        {
            validateFault = exception.Message;
        }

        Assert.Equal(readFault, validateFault);
    }

    private static void Decompress(CompressionCodec codec, byte[] input)
    {
        try
        {
            Assert.InRange(Compression.Decompress(codec, input, MaximumDecompressedByteCount).Length, 0, MaximumDecompressedByteCount);
        }
        catch (InvalidRecordBatchException)
        {
            // how a decoder refuses
        }
    }

    /// <summary>Gives three of four batches a length and a checksum that agree, so that the mutation gets past the door.</summary>
    private static byte[] Reseal(byte[] batch, Random random)
    {
        if (batch.Length >= RecordBatchHeader.ByteCount && random.Next(4) != 0)
        {
            BinaryPrimitives.WriteInt32BigEndian(
                batch.AsSpan(RecordBatchHeader.BatchLengthPosition), batch.Length - RecordBatchHeader.LengthPrefixByteCount);
            batch[RecordBatchHeader.MagicPosition] = RecordBatchHeader.CurrentMagic;
            RecordBatch.Seal(batch);
        }

        return batch;
    }

    private static byte[] WithCodec(byte[] batch, CompressionCodec codec)
    {
        if (batch.Length >= RecordBatchHeader.ByteCount)
        {
            BinaryPrimitives.WriteInt16BigEndian(batch.AsSpan(RecordBatchHeader.AttributesPosition), (short)codec);
        }

        return batch;
    }

    private static IEnumerable<byte[]> Batches(CompressionCodec codec)
    {
        foreach (int count in (int[])[1, 3, 40])
        {
            var random = new Random(count);
            var builder = new RecordBatchBuilder(codec);
            for (int i = 0; i < count; i++)
            {
                RecordHeader[] headers = [.. Enumerable.Range(0, random.Next(4)).Select(n => new RecordHeader($"h{n}", Prose(n)))];
                builder.Append(1_700_000_000_000 + random.Next(-50, 50), Prose(i % 5), i % 5 == 0, Prose(random.Next(60)), i % 7 == 3, headers);
            }

            yield return builder.Build(new ProducerIdentity(5, 0), 10, isTransactional: count == 3).ToArray();
        }
    }

    private static byte[] Prose(int byteCount)
    {
        byte[] bytes = new byte[byteCount];
        for (int i = 0; i < byteCount; i++)
        {
            bytes[i] = (byte)"the quick brown fox "[(i * (1 + (i / 997))) % 20];
        }

        return bytes;
    }
}
