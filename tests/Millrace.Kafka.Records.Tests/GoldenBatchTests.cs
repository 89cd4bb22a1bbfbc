namespace Millrace.Kafka.Records.Tests;

/// <summary>
/// Batches that librdkafka 2.0.2 sent (kcat 1.7.1, <c>-z none|gzip|snappy|lz4|zstd -H a=1 -H a=2 -H empty=</c>, three records), taken from its Produce requests.
/// </summary>
public sealed class GoldenBatchTests
{
    private const string None =
        "00000000000000000000013400000000027E53BA10000000000002000001A2026EAEF2000001A2026EAEF2FFFFFFFFFFFFFFFFFFFFFFFFFFFF000000" +
        "03E001000000046B31B00174686520717569636B2062726F776E20666F78206A756D7073206F76657220746865206C617A7920646F672C2074686520" +
        "717569636B2062726F776E20666F78206A756D7073206F76657220746865206C617A7920646F670602610231026102320A656D707479008401000002" +
        "046B325674686520717569636B2062726F776E20666F78206A756D7073206F76657220746865206C617A7920646F670602610231026102320A656D70" +
        "7479009601000004006C656D707479206B65792C2074686520717569636B2062726F776E20666F78206A756D7073206F76657220746865206C617A79" +
        "20646F670602610231026102320A656D70747900";

    private const string Gzip =
        "0000000000000000000000A40000000002D072E246000100000002000001A2026EAFE1000001A2026EAFE1FFFFFFFFFFFFFFFFFFFFFFFFFFFF000000" +
        "031F8B08000000000000037BC0C8C0C0C0926DB881B1242355A1B03433395B21A928BF3C4F212DBF4221AB34B7A05821BF2CB54801249D935855A990" +
        "929FAEA340826236A64426432036E24ACD2D28A9646801DAC8C4926D14468119D38066B030E480390AD9A995143908004460815003010000";

    private const string Snappy =
        "00000000000000000000009E0000000002D94C1D87000200000002000001A2026EB0E1000001A2026EB0E1FFFFFFFFFFFFFFFFFFFFFFFFFFFF000000" +
        "038302A0E001000000046B31B00174686520717569636B2062726F776E20666F78206A756D7073206F76657220011F246C617A7920646F672C20010E" +
        "9A2D00600602610231026102320A656D707479008401000002046B3256EA4400189601000004006C05510C206B6579F29100";

    private const string Lz4 =
        "0000000000000000000000B60000000002970383C1000300000002000001A2026EB1E6000001A2026EB1E6FFFFFFFFFFFFFFFFFFFFFFFFFFFF000000" +
        "0304224D1860408276000000F01AE001000000046B31B00174686520717569636B2062726F776E20666F78206A756D7073206F766572201F00916C61" +
        "7A7920646F672C0E000F2D0014F00A0602610231026102320A656D707479008401000002046B325652000F440024719601000004006C51004F206B65" +
        "79910025506D7074790000000000";

    private const string Zstd =
        "0000000000000000000000A60000000002BEE54643000400000002000001A2026EB2D5000001A2026EB2D5FFFFFFFFFFFFFFFFFFFFFFFFFFFF000000" +
        "0328B52FFD0058650300B405E001000000046B31B00174686520717569636B2062726F776E20666F78206A756D7073206F76657220746865206C617A" +
        "7920646F672C200602610231026102320A656D707479008401000002046B32569601000004006C206B65790400A298102A5A138E208D039A6A0F";

    // enable.idempotence=true, -Z: an empty key or value is null.
    private const string IdempotentWithNulls =
        "00000000000000000000004E00000000020B1A82F1000000000002000001A2026F3C6F000001A2026F3C6F000000000DB8DCF8000000000000000000" +
        "0314000000046B310476310010000002010476320010000004046B330100";

    [Theory]
    [InlineData(CompressionCodec.None, None)]
    [InlineData(CompressionCodec.Gzip, Gzip)]
    [InlineData(CompressionCodec.Snappy, Snappy)]
    [InlineData(CompressionCodec.Lz4, Lz4)]
    [InlineData(CompressionCodec.Zstd, Zstd)]
    public void A_batch_of_librdkafka_is_valid_and_its_records_are_read(CompressionCodec codec, string hex)
    {
        byte[] batch = Convert.FromHexString(hex);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out RecordBatchHeader header));
        Assert.Equal((codec, 3, 2, -1), (header.Codec, header.RecordCount, header.LastOffsetDelta, header.BaseSequence));
        Assert.Equal(ProducerIdentity.None, header.Producer);

        const string fox = "the quick brown fox jumps over the lazy dog";
        List<Record> records = RecordBatchReader.Read(batch);
        Assert.Equal(["k1", "k2", ""], records.Select(record => Samples.Text(record.Key)));
        Assert.Equal([$"{fox}, {fox}", fox, $"empty key, {fox}"], records.Select(record => Samples.Text(record.Value)));
        Assert.All(records, record => Assert.Equal(
            [("a", "1"), ("a", "2"), ("empty", "")],
            record.Headers.Select(header => (header.Key, Samples.Text(header.Value)))));
        Assert.All(records, record => Assert.Equal(header.BaseTimestamp, record.Timestamp));
    }

    [Fact]
    public void Our_batch_of_the_same_records_has_the_same_bytes()
    {
        byte[] batch = Convert.FromHexString(None);
        var builder = new RecordBatchBuilder();
        foreach (Record record in RecordBatchReader.Read(batch))
        {
            builder.Append(record.Timestamp, record.Key, record.Value, record.Headers);
        }

        Memory<byte> ours = builder.Build();
        RecordBatch.Assign(ours.Span, Offset.Zero, RecordBatchHeader.Read(batch).LeaderEpoch); // librdkafka leaves 0 for the broker to fill
        Assert.Equal(Convert.ToHexString(batch), Convert.ToHexString(ours.Span));
    }

    [Fact]
    public void Nulls_and_the_producers_identity_are_read_and_written_as_librdkafka_has_them()
    {
        byte[] batch = Convert.FromHexString(IdempotentWithNulls);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out RecordBatchHeader header));
        Assert.Equal((new ProducerIdentity(0x0DB8DCF8, 0), 0, 2), (header.Producer, header.BaseSequence, header.LastSequence));
        List<Record> records = RecordBatchReader.Read(batch);
        Assert.Equal(["k1", null, "k3"], records.Select(record => Samples.Text(record.Key)));
        Assert.Equal(["v1", "v2", null], records.Select(record => Samples.Text(record.Value)));

        var builder = new RecordBatchBuilder();
        foreach (Record record in records)
        {
            builder.Append(record.Timestamp, record.Key, record.Value);
        }

        Memory<byte> ours = builder.Build(header.Producer, header.BaseSequence);
        RecordBatch.Assign(ours.Span, Offset.Zero, header.LeaderEpoch);
        Assert.Equal(Convert.ToHexString(batch), Convert.ToHexString(ours.Span));
    }
}
