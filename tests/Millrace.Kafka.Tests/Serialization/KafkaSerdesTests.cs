using System.Buffers;
using System.Text;
using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Millrace.Kafka.Tests;

public sealed class KafkaSerdesTests
{
    private static readonly SerializationContext Context = new("orders", RecordPart.Value, []);

    [Fact]
    public void Numbers_texts_and_guids_are_written_as_Java_writes_them()
    {
        AssertBytes(KafkaSerdes.Int16, (short)-2, "FFFE");
        AssertBytes(KafkaSerdes.Int32, 0x01020304, "01020304");
        AssertBytes(KafkaSerdes.Int64, -2L, "FFFFFFFFFFFFFFFE");
        AssertBytes(KafkaSerdes.Double, 1.5, "3FF8000000000000");
        AssertBytes(KafkaSerdes.Utf8, "é", "C3A9");
        AssertBytes(KafkaSerdes.Utf8, "", "");
        AssertBytes(KafkaSerdes.Bytes, [1, 2], "0102");
        var guid = new Guid("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9");
        AssertBytes(KafkaSerdes.Guid, guid, Convert.ToHexString(Encoding.ASCII.GetBytes("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")));
        Assert.Equal([1, 2], KafkaSerdes.Memory.Deserialize([1, 2], Context)!.Value.ToArray());
    }

    [Fact]
    public void Bytes_of_another_type_are_not_read()
    {
        Assert.Throws<FormatException>(() => KafkaSerdes.Int16.Deserialize([1], Context));
        Assert.Throws<FormatException>(() => KafkaSerdes.Int32.Deserialize([1, 2, 3, 4, 5], Context));
        Assert.Throws<FormatException>(() => KafkaSerdes.Int64.Deserialize([], Context));
        Assert.Throws<FormatException>(() => KafkaSerdes.Double.Deserialize(new byte[7], Context));
        Assert.Throws<FormatException>(() => KafkaSerdes.Guid.Deserialize("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9!"u8, Context));
        Assert.Throws<FormatException>(() => KafkaSerdes.Guid.Deserialize("0a1b2c3d"u8, Context));
        Assert.Throws<DecoderFallbackException>(() => KafkaSerdes.Utf8.Deserialize([0xC3], Context));
        Assert.Throws<JsonException>(() => KafkaSerdes.Json(TestJson.Default.TestOrder).Deserialize("{"u8, Context));
    }

    [Fact]
    public void What_is_not_there_is_null_where_the_type_has_a_null()
    {
        Assert.True(KafkaSerdes.Absent.IsNull(default));
        Assert.Null(KafkaSerdes.Utf8.DeserializeNull(Context));
        Assert.Null(KafkaSerdes.Memory.DeserializeNull(Context));
        Assert.Equal(default, KafkaSerdes.Absent.DeserializeNull(Context));
        FormatException failure = Assert.Throws<FormatException>(() => KafkaSerdes.Int32.DeserializeNull(Context));
        Assert.Contains("no value, and Int32 has no null", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_follows_the_options_of_its_context_and_a_failure_in_the_middle_spoils_no_later_one()
    {
        IKafkaSerde<TestReading> serde = KafkaSerdes.Json(TestJson.Default.TestReading);
        Assert.Equal("""{"sensor":1,"value":1.5}""", Encoding.UTF8.GetString(Write(serde, new TestReading(1, 1.5))));
        Assert.ThrowsAny<ArgumentException>(() => Write(serde, new TestReading(1, double.NaN)));
        Assert.Equal("""{"sensor":2,"value":0.5}""", Encoding.UTF8.GetString(Write(serde, new TestReading(2, 0.5))));
        Assert.Equal(new TestReading(2, 0.5), serde.Deserialize(Write(serde, new TestReading(2, 0.5)), Context));
    }

    [Fact]
    public void A_Protobuf_message_needs_two_delegates()
    {
        IKafkaSerde<StringValue> serde = KafkaSerdes.From<StringValue>((message, bytes) => message.WriteTo(bytes), StringValue.Parser.ParseFrom);
        var message = new StringValue { Value = "millrace" };
        byte[] bytes = Write(serde, message);
        Assert.Equal(message.ToByteArray(), bytes);
        Assert.Equal(message, serde.Deserialize(bytes, Context));
        Assert.Throws<InvalidProtocolBufferException>(() => serde.Deserialize([0xFF], Context));
    }

    private static void AssertBytes<T>(IKafkaSerde<T> serde, T value, string expected)
    {
        byte[] bytes = Write(serde, value);
        Assert.Equal(expected, Convert.ToHexString(bytes));
        Assert.Equal(value, serde.Deserialize(bytes, Context));
    }

    private static byte[] Write<T>(IKafkaSerializer<T> serializer, T value)
    {
        var bytes = new ArrayBufferWriter<byte>();
        serializer.Serialize(value, bytes, Context);
        return bytes.WrittenSpan.ToArray();
    }
}
