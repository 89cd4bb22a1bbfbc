using System.Buffers.Binary;

namespace Millrace.Kafka.Records.Tests;

public class EndTransactionMarkerTests
{
    private static readonly ProducerIdentity Producer = new(0x1122334455667788, 0x0102);

    [Theory]
    [InlineData(true, "0001")]
    [InlineData(false, "0000")]
    public void A_marker_is_a_transactional_control_batch_of_one_record(bool isCommit, string type)
    {
        byte[] batch = new EndTransactionMarker(isCommit, CoordinatorEpoch: 0x0A0B0C0D).ToBatch(Producer, timestamp: 0x0102030405060708).ToArray();
        string expected =
            "0000000000000000" + "00000042" + "ffffffff" + "02" + Convert.ToHexString(batch.AsSpan(17, 4)) + "0030" + "00000000"
            + "0102030405060708" + "0102030405060708" + "1122334455667788" + "0102" + "ffffffff" + "00000001"
            + "20" + "00" + "00" + "00" + "08" + "0000" + type + "0c" + "0000" + "0a0b0c0d" + "00";
        Assert.Equal(expected, Convert.ToHexString(batch), ignoreCase: true);
        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batch, out _));
        Assert.True(EndTransactionMarker.TryRead(batch, out EndTransactionMarker marker));
        Assert.Equal(new EndTransactionMarker(isCommit, 0x0A0B0C0D), marker);
    }

    [Fact]
    public void What_follows_version_0_of_key_and_value_is_read_past() =>
        Assert.True(EndTransactionMarker.TryRead(Control("0001" + "0001" + "77", "0003" + "00000005" + "99"), out EndTransactionMarker marker)
            && marker == new EndTransactionMarker(IsCommit: true, 5));

    [Theory]
    [InlineData("00000002", "000000000005")]
    [InlineData("0000ffff", "000000000005")]
    [InlineData("ffff0001", "000000000005")]
    [InlineData("00000001", "ffff00000005")]
    [InlineData("000000", "000000000005")]
    [InlineData("00000001", "0000000000")]
    public void Control_records_that_end_no_transaction_are_no_markers(string key, string value) =>
        Assert.False(EndTransactionMarker.TryRead(Control(key, value), out _));

    [Fact]
    public void Data_emptied_batches_and_bytes_that_end_early_are_no_markers()
    {
        byte[] batch = new EndTransactionMarker(IsCommit: true, 5).ToBatch(Producer, 1).ToArray();
        for (int length = 0; length < batch.Length; length++)
        {
            Assert.False(EndTransactionMarker.TryRead(batch.AsSpan(0, length), out _));
        }

        byte[] emptied = batch[..RecordBatchHeader.ByteCount];
        BinaryPrimitives.WriteInt32BigEndian(emptied.AsSpan(8), RecordBatchHeader.MinimumBatchLength);
        BinaryPrimitives.WriteInt32BigEndian(emptied.AsSpan(57), 0);
        Assert.False(EndTransactionMarker.TryRead(emptied, out _));

        batch[22] &= 0xDF;
        Assert.False(EndTransactionMarker.TryRead(batch, out _));
    }

    private static byte[] Control(string key, string value)
    {
        var builder = new RecordBatchBuilder();
        builder.Append(1, Convert.FromHexString(key), Convert.FromHexString(value));
        return builder.Build(Producer, -1, isTransactional: true, isControl: true).ToArray();
    }
}
