using FsCheck;
using FsCheck.Fluent;

namespace Millrace.Kafka.Records.Tests;

public sealed class RecordBatchRoundTripTests
{
    private sealed record Input(long Timestamp, byte[]? Key, byte[]? Value, (string Key, byte[]? Value)[] Headers);

    private static readonly Gen<byte[]?> Bytes = Gen.Frequency(
        (1, Gen.Constant<byte[]?>(null)),
        (1, Gen.Constant<byte[]?>([])),
        (4, ArbMap.Default.GeneratorFor<byte[]>().Select(byte[]? (bytes) => bytes)),
        (1, Gen.Choose(60, 70).Select(byte[]? (length) => new byte[length]))); // where lengths grow to two bytes

    private static readonly Gen<long> Timestamps = Gen.Frequency(
        (5, Gen.Choose(-1_000, 1_000).Select(delta => 1_700_000_000_000L + delta)),
        (1, ArbMap.Default.GeneratorFor<long>()),
        (1, Gen.Elements(long.MinValue, -1, 0, long.MaxValue)));

    private static readonly Gen<(string, byte[]?)> Headers =
        from key in Gen.Elements("", "a", "a", "ce_type", "ключ", "🗝")
        from value in Bytes
        select (key, value);

    private static readonly Gen<Input[]> Inputs =
        (from timestamp in Timestamps
         from key in Bytes
         from value in Bytes
         from headers in Headers.ArrayOf()
         select new Input(timestamp, key, value, headers)).NonEmptyListOf().Select(list => list.ToArray());

    public static TheoryData<CompressionCodec> Codecs => Samples.EveryCodec;

    [Theory]
    [MemberData(nameof(Codecs))]
    public void Every_record_reads_back_as_it_was_written(CompressionCodec codec)
    {
        var builder = new RecordBatchBuilder(codec, initialByteCount: 16);
        Prop.ForAll(Inputs.ToArbitrary(), inputs =>
        {
            builder.Reset();
            long bound = RecordBatchHeader.ByteCount;
            foreach (Input input in inputs)
            {
                RecordHeader[] headers = [.. input.Headers.Select(header => new RecordHeader(header.Key, Memory(header.Value)))];
                bound += RecordBatchBuilder.EstimateRecordByteCount(input.Key?.Length ?? 0, input.Value?.Length ?? 0, headers);
                builder.Append(input.Timestamp, input.Key, input.Key is null, input.Value, input.Value is null, headers);
            }

            Assert.Equal(inputs.Length, builder.RecordCount);
            Assert.InRange(builder.EstimatedByteCount, RecordBatchHeader.ByteCount, bound);
            int estimated = builder.EstimatedByteCount;
            Memory<byte> batch = builder.Build(new ProducerIdentity(42, 7), baseSequence: 3);

            Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch.Span, out RecordBatchHeader header));
            Assert.Equal(batch.Length, header.TotalByteCount);
            Assert.True(codec != CompressionCodec.None || estimated == batch.Length);
            Assert.Equal((codec, inputs.Length, inputs.Length - 1), (header.Codec, header.RecordCount, header.LastOffsetDelta));
            Assert.Equal((inputs[0].Timestamp, inputs.Max(input => input.Timestamp)), (header.BaseTimestamp, header.MaxTimestamp));
            Assert.Equal((new ProducerIdentity(42, 7), 3), (header.Producer, header.BaseSequence));

            RecordBatchReader.Validate(batch.Span);
            List<Record> records = RecordBatchReader.Read(batch);
            Assert.Equal(inputs.Select(Describe), records.Select(Describe));
            Assert.Equal(Enumerable.Range(0, inputs.Length).Select(i => (long)i), records.Select(record => record.Offset.Value));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void A_built_batch_belongs_to_the_caller_and_outlives_the_builders_next_one()
    {
        var builder = new RecordBatchBuilder();
        builder.Append(0, null, Samples.Bytes("first"));
        Memory<byte> first = builder.Build();
        builder.Reset();
        builder.Append(0, null, Samples.Bytes("other"));
        Memory<byte> second = builder.Build();
        Assert.Equal("first", Samples.Text(RecordBatchReader.Read(first)[0].Value));
        Assert.Equal("other", Samples.Text(RecordBatchReader.Read(second)[0].Value));
    }

    [Fact]
    public void Attributes_tell_transactional_and_control_batches()
    {
        var builder = new RecordBatchBuilder(CompressionCodec.Lz4);
        builder.Append(0, null, null);
        _ = RecordBatch.Check(builder.Build(new ProducerIdentity(1, 0), 0, isTransactional: true, isControl: true).Span, out RecordBatchHeader header);
        Assert.True(header is { IsTransactional: true, IsControl: true, IsLogAppendTime: false, Codec: CompressionCodec.Lz4 });
    }

    [Fact]
    public void A_batch_without_producer_has_no_sequence()
    {
        var builder = new RecordBatchBuilder();
        builder.Append(0, null, null);
        _ = RecordBatch.Check(builder.Build(ProducerIdentity.None, baseSequence: 5).Span, out RecordBatchHeader header);
        Assert.Equal((-1, -1), (header.BaseSequence, header.LastSequence));
    }

    [Fact]
    public void Records_of_a_batch_that_the_broker_stamped_have_its_time()
    {
        byte[] batch = Samples.Batch();
        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        (header with { Attributes = 0x08, MaxTimestamp = 77 }).Write(batch);
        Assert.All(RecordBatchReader.Read(batch), record => Assert.Equal(77, record.Timestamp));
    }

    [Fact]
    public void A_batch_that_compaction_has_emptied_reads_as_no_records()
    {
        byte[] batch = Samples.Batch(CompressionCodec.Zstd)[..RecordBatchHeader.ByteCount];
        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        (header with { RecordCount = 0, BatchLength = RecordBatchHeader.MinimumBatchLength }).Write(batch);
        RecordBatch.Seal(batch);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out _));
        Assert.Empty(RecordBatchReader.Read(batch));
    }

    [Fact]
    public void A_builder_says_when_it_is_misused()
    {
        var builder = new RecordBatchBuilder();
        Assert.Throws<InvalidOperationException>(() => builder.Build());
        builder.Append(0, null, null);
        _ = builder.Build();
        Assert.Throws<InvalidOperationException>(() => builder.Build());
        Assert.Throws<InvalidOperationException>(() => builder.Append(0, null, null));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RecordBatchBuilder((CompressionCodec)5));
    }

    [Fact]
    public void Uncompressed_records_are_slices_of_the_batch()
    {
        byte[] batch = Samples.Batch();
        ReadOnlyMemory<byte> value = RecordBatchReader.Read(batch)[0].Value!.Value;
        batch.AsSpan().Fill((byte)'x');
        Assert.Equal("xxxxx", Samples.Text(value));
    }

    private static ReadOnlyMemory<byte>? Memory(byte[]? bytes)
    {
        if (bytes is null)
        {
            return null;
        }

        return bytes;
    }

    private static string Describe(Input input) =>
        Describe(input.Timestamp, Hex(input.Key), Hex(input.Value), input.Headers.Select(header => (header.Key, Hex(header.Value))));

    private static string Describe(Record record) =>
        Describe(record.Timestamp, Hex(record.Key), Hex(record.Value), record.Headers.Select(header => (header.Key, Hex(header.Value))));

    private static string Describe(long timestamp, string key, string value, IEnumerable<(string, string)> headers) =>
        $"{timestamp} {key} {value} {string.Join(' ', headers)}";

    private static string Hex(byte[]? bytes) => bytes is null ? "null" : $"[{Convert.ToHexString(bytes)}]";

    private static string Hex(ReadOnlyMemory<byte>? bytes) => bytes is { } present ? $"[{Convert.ToHexString(present.Span)}]" : "null";
}
