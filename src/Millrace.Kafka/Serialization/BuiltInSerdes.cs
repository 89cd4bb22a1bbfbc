using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text;

namespace Millrace.Kafka;

internal sealed class AbsentSerde : IKafkaSerde<Absent>
{
    public static readonly AbsentSerde Instance = new();

    public bool IsNull(Absent value) => true;

    public void Serialize(Absent value, IBufferWriter<byte> destination, SerializationContext context)
    {
        // What is never there is never written.
    }

    public Absent Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => default;

    public Absent DeserializeNull(SerializationContext context) => default;
}

internal sealed class BytesSerde : IKafkaSerde<byte[]>
{
    public static readonly BytesSerde Instance = new();

    public void Serialize(byte[] value, IBufferWriter<byte> destination, SerializationContext context) => destination.Write(value);

    public byte[] Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => data.ToArray();
}

internal sealed class MemorySerde : IKafkaSerde<ReadOnlyMemory<byte>?>
{
    public static readonly MemorySerde Instance = new();

    public void Serialize(ReadOnlyMemory<byte>? value, IBufferWriter<byte> destination, SerializationContext context) => destination.Write(value.GetValueOrDefault().Span);

    public ReadOnlyMemory<byte>? Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => data.ToArray();
}

internal sealed class Utf8Serde : IKafkaSerde<string>
{
    public static readonly Utf8Serde Instance = new();

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public void Serialize(string value, IBufferWriter<byte> destination, SerializationContext context) => Strict.GetBytes(value, destination);

    public string Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => Strict.GetString(data);
}

internal sealed class GuidSerde : IKafkaSerde<Guid>
{
    public static readonly GuidSerde Instance = new();

    private const int CharacterCount = 36;

    public void Serialize(Guid value, IBufferWriter<byte> destination, SerializationContext context)
    {
        value.TryFormat(destination.GetSpan(CharacterCount), out int byteCount);
        destination.Advance(byteCount);
    }

    public Guid Deserialize(ReadOnlySpan<byte> data, SerializationContext context) =>
        Utf8Parser.TryParse(data, out Guid value, out int byteCount, 'D') && byteCount == data.Length
            ? value
            : throw new FormatException($"{data.Length} bytes are not the {CharacterCount} characters of a UUID's text.");
}

internal sealed class Int16Serde : IKafkaSerde<short>
{
    public static readonly Int16Serde Instance = new();

    public void Serialize(short value, IBufferWriter<byte> destination, SerializationContext context)
    {
        BinaryPrimitives.WriteInt16BigEndian(destination.GetSpan(sizeof(short)), value);
        destination.Advance(sizeof(short));
    }

    public short Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => BinaryPrimitives.ReadInt16BigEndian(FixedSize.Check(data, sizeof(short)));
}

internal sealed class Int32Serde : IKafkaSerde<int>
{
    public static readonly Int32Serde Instance = new();

    public void Serialize(int value, IBufferWriter<byte> destination, SerializationContext context)
    {
        BinaryPrimitives.WriteInt32BigEndian(destination.GetSpan(sizeof(int)), value);
        destination.Advance(sizeof(int));
    }

    public int Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => BinaryPrimitives.ReadInt32BigEndian(FixedSize.Check(data, sizeof(int)));
}

internal sealed class Int64Serde : IKafkaSerde<long>
{
    public static readonly Int64Serde Instance = new();

    public void Serialize(long value, IBufferWriter<byte> destination, SerializationContext context)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination.GetSpan(sizeof(long)), value);
        destination.Advance(sizeof(long));
    }

    public long Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => BinaryPrimitives.ReadInt64BigEndian(FixedSize.Check(data, sizeof(long)));
}

internal sealed class DoubleSerde : IKafkaSerde<double>
{
    public static readonly DoubleSerde Instance = new();

    public void Serialize(double value, IBufferWriter<byte> destination, SerializationContext context)
    {
        BinaryPrimitives.WriteDoubleBigEndian(destination.GetSpan(sizeof(double)), value);
        destination.Advance(sizeof(double));
    }

    public double Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => BinaryPrimitives.ReadDoubleBigEndian(FixedSize.Check(data, sizeof(double)));
}

internal sealed class DelegateSerde<T>(KafkaWrite<T> write, KafkaRead<T> read) : IKafkaSerde<T>
{
    public void Serialize(T value, IBufferWriter<byte> destination, SerializationContext context) => write(value, destination);

    public T Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => read(data);
}

/// <summary>Numbers have one length.</summary>
internal static class FixedSize
{
    public static ReadOnlySpan<byte> Check(ReadOnlySpan<byte> data, int byteCount) => data.Length == byteCount
        ? data
        : throw new FormatException($"There are {data.Length} bytes where {byteCount} are due.");
}
