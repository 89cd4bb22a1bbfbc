namespace Millrace.Kafka.Records.Tests;

/// <summary>Batches whose checksum would agree and whose content is nonsense all the same: each is refused, and the message tells why.</summary>
public sealed class RecordBatchReaderTests
{
    // length, attributes, timestamp delta, offset delta, null key, null value, no headers
    private const string Record0 = "0C 00 00 00 01 01 00";
    private const string Record1 = "0C 00 00 02 01 01 00";

    [Fact]
    public void Records_are_checked_without_a_copy_of_what_they_decompress_to()
    {
        var builder = new RecordBatchBuilder(CompressionCodec.Gzip);
        builder.Append(1, null, (ReadOnlyMemory<byte>?)new byte[4_000_000]);
        byte[] batch = builder.Build(ProducerIdentity.None, -1).ToArray();
        RecordBatchReader.Validate(batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        RecordBatchReader.Validate(batch);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void Ordinary_records_are_seen_to_be_right_without_reading_them_twice()
    {
        byte[] batch = Samples.Batch();
        var header = RecordBatchHeader.Read(batch);
        Assert.True(RecordScan.AreWellFormed(batch.AsSpan(RecordBatchHeader.ByteCount), header, requiresKeys: false));
    }

    [Theory]
    [InlineData(1, Record0)]
    [InlineData(2, Record0 + Record1)]
    [InlineData(1, "10 00 00 00 01 01 02 00 01")] // a header with an empty name and a null value
    public void The_shortest_records_are_read(int count, string hex) => Assert.Equal(count, RecordBatchReader.Read(Batch(count, hex)).Count);

    [Theory]
    [InlineData(2, Record0, "a record count that the bytes cannot hold: 2")]
    [InlineData(int.MaxValue, Record0, "a record count that the bytes cannot hold: 2147483647")]
    [InlineData(1, Record0 + Record1, "bytes after the last record: 7")]
    [InlineData(0, Record0, "bytes after the last record: 7")]
    [InlineData(1, "0A 00 00 00 01 01 00", "a record length that its bytes contradict: 5")]
    [InlineData(1, "0E 00 00 00 01 01 00", "a record length that its bytes contradict: 7")]
    [InlineData(1, "01 00 00 00 01 01 00", "a record length that its bytes contradict: -1")]
    [InlineData(1, "FEFFFFFF0F 00 00 00 01 01 00", "a record length that its bytes contradict: 2147483647")]
    [InlineData(1, "FFFFFFFFFFFFFF 0F", "an unreadable record length")]
    [InlineData(2, Record0 + Record0, "an offset delta that does not rise or leaves the batch: 0, in record 1 of 2")]
    [InlineData(1, Record1, "an offset delta that does not rise or leaves the batch: 1")]
    [InlineData(1, "0C 00 00 01 01 01 00", "an offset delta that does not rise or leaves the batch: -1")]
    [InlineData(1, "0C 00 00 00 03 01 00", "a key length outside its record: -2")]
    [InlineData(1, "0C 00 00 00 06 01 00", "a key length outside its record: 3")]
    [InlineData(2, "0C 00 00 00 01 08 00" + Record1, "a value length outside its record: 4, in record 0")] // it would reach into the next record
    [InlineData(1, "0C 00 00 00 01 01 01", "a header count that the record cannot hold: -1")]
    [InlineData(1, "0C 00 00 00 01 01 02", "a header count that the record cannot hold: 1")]
    [InlineData(1, "14 00 00 00 01 01 FEFFFFFF0F", "a header count that the record cannot hold: 2147483647")]
    [InlineData(1, "10 00 00 00 01 01 02 01 01", "a header without key: -1")]
    [InlineData(1, "10 00 00 00 01 01 02 04 01", "a header key length outside its record: 2")]
    [InlineData(1, "10 00 00 00 01 01 02 00 02", "a header value length outside its record: 1")]
    [InlineData(1, "0E 00 00 00 01 01 00 00", "a record that does not fill its length: 1")]
    [InlineData(1, "0C 00 FFFFFFFFFF", "an unreadable timestamp delta")]
    public void Nonsense_is_refused_with_its_reason(int count, string hex, string reason)
    {
        byte[] batch = Batch(count, hex);
        InvalidRecordBatchException exception = Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Read(batch));
        Assert.Contains(reason, exception.Message, StringComparison.Ordinal);
        Assert.StartsWith("The batch at offset 100 has ", exception.Message, StringComparison.Ordinal);
        Assert.Equal(exception.Message, Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Validate(batch)).Message);
    }

    [Fact]
    public void A_record_without_key_is_refused_where_keys_are_required()
    {
        byte[] batch = Batch(1, Record0);
        RecordBatchReader.Validate(batch);
        InvalidRecordBatchException exception = Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Validate(batch, requiresKeys: true));
        Assert.Contains("The record at offset delta 0 has no key", exception.Message, StringComparison.Ordinal);
        RecordBatchReader.Validate(Batch(1, "0C 00 00 00 00 01 00"), requiresKeys: true);
    }

    [Fact]
    public void A_header_that_leaves_the_range_of_offsets_is_refused()
    {
        byte[] batch = Batch(1, Record0);
        RecordBatch.Assign(batch, new Offset(long.MaxValue - 1), 0);
        Assert.Single(RecordBatchReader.Read(batch));
        RecordBatch.Assign(batch, new Offset(long.MaxValue), 0);
        Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Read(batch));
        RecordBatch.Assign(batch, new Offset(-1), 0);
        Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Read(batch));
    }

    [Fact]
    public void Every_cut_of_a_batch_is_refused()
    {
        foreach (CompressionCodec codec in Samples.Codecs)
        {
            byte[] batch = Samples.Batch(codec);
            for (int length = 0; length < batch.Length; length++)
            {
                Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Read(batch.AsMemory(0, length)));
            }
        }
    }

    [Theory]
    [InlineData(5)]
    [InlineData(7)]
    public void An_unknown_codec_is_refused(short codec)
    {
        byte[] batch = Batch(1, Record0);
        (RecordBatchHeader.Read(batch) with { Attributes = codec }).Write(batch);
        InvalidRecordBatchException exception = Assert.Throws<InvalidRecordBatchException>(() => RecordBatchReader.Read(batch));
        Assert.Contains($"codec {codec} is unknown", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_header_name_that_is_not_UTF_8_does_not_hide_the_record()
    {
        Record record = Assert.Single(RecordBatchReader.Read(Batch(1, "12 00 00 00 01 01 02 02 FF 01")));
        Assert.Equal("\uFFFD", record.Headers[0].Key);
    }

    [Fact]
    public void Validation_of_uncompressed_records_allocates_nothing()
    {
        byte[] batch = Samples.Batch();
        RecordBatchReader.Validate(batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        RecordBatchReader.Validate(batch);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static byte[] Batch(int count, string records)
    {
        byte[] payload = Convert.FromHexString(records.Replace(" ", "", StringComparison.Ordinal));
        byte[] batch = [.. new byte[RecordBatchHeader.ByteCount], .. payload];
        RecordBatchHeader header = RecordBatchHeader.Read(Samples.Batch()) with
        {
            BaseOffset = new Offset(100),
            BatchLength = batch.Length - RecordBatchHeader.LengthPrefixByteCount,
            RecordCount = count,
            LastOffsetDelta = Math.Max(0, count - 1),
        };
        header.Write(batch);
        RecordBatch.Seal(batch);
        return batch;
    }
}
