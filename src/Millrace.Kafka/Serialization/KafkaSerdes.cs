using System.Buffers;
using System.Text.Json.Serialization.Metadata;

namespace Millrace.Kafka;

/// <summary>Writes one key or value of a message library.</summary>
/// <typeparam name="T">What is written.</typeparam>
/// <param name="value">The key or value.</param>
/// <param name="destination">Where the bytes go.</param>
public delegate void KafkaWrite<in T>(T value, IBufferWriter<byte> destination);

/// <summary>Reads one key or value of a message library.</summary>
/// <typeparam name="T">What is read.</typeparam>
/// <param name="data">All of its bytes.</param>
public delegate T KafkaRead<out T>(ReadOnlySpan<byte> data);

/// <summary>
/// Serialisers. Those of numbers, texts and <see cref="System.Guid"/> write what Java's write (<c>IntegerSerializer</c>, <c>StringSerializer</c>, <c>UUIDSerializer</c> and so on). None of them
/// uses reflection.
/// </summary>
public static class KafkaSerdes
{
    /// <summary>No key, or no value: nothing is written, and nothing that is there is looked at.</summary>
    public static IKafkaSerde<Absent> Absent => AbsentSerde.Instance;

    /// <summary>Bytes as they are.</summary>
    public static IKafkaSerde<byte[]> Bytes => BytesSerde.Instance;

    /// <summary>Bytes as they are, from memory of any owner. Read into an array of their own. An absent key or value is null; an empty one is not.</summary>
    public static IKafkaSerde<ReadOnlyMemory<byte>?> Memory => MemorySerde.Instance;

    /// <summary>UTF-8. Bytes that are not UTF-8 cannot be read.</summary>
    public static IKafkaSerde<string> Utf8 => Utf8Serde.Instance;

    /// <summary>The 36 characters of its text, as Java's <c>UUIDSerializer</c> writes them.</summary>
    public static IKafkaSerde<Guid> Guid => GuidSerde.Instance;

    /// <summary>2 bytes, big-endian.</summary>
    public static IKafkaSerde<short> Int16 => Int16Serde.Instance;

    /// <summary>4 bytes, big-endian.</summary>
    public static IKafkaSerde<int> Int32 => Int32Serde.Instance;

    /// <summary>8 bytes, big-endian.</summary>
    public static IKafkaSerde<long> Int64 => Int64Serde.Instance;

    /// <summary>8 bytes: the bits by IEEE 754, big-endian.</summary>
    public static IKafkaSerde<double> Double => DoubleSerde.Instance;

    /// <summary>JSON in UTF-8, by metadata that System.Text.Json's source generator wrote.</summary>
    /// <typeparam name="T">A type that a <c>JsonSerializerContext</c> names.</typeparam>
    /// <param name="typeInfo">Such as <c>ShopJson.Default.Order</c>.</param>
    public static IKafkaSerde<T> Json<T>(JsonTypeInfo<T> typeInfo)
    {
        ArgumentNullException.ThrowIfNull(typeInfo);
        return new JsonSerde<T>(typeInfo);
    }

    /// <summary>
    /// What a message library offers. For a message <c>Order</c> of Google.Protobuf: <c>KafkaSerdes.From&lt;Order&gt;((order, bytes) => order.WriteTo(bytes), Order.Parser.ParseFrom)</c>.
    /// </summary>
    /// <typeparam name="T">What is written and read.</typeparam>
    /// <param name="write">Writes it; called from several threads at once.</param>
    /// <param name="read">Reads it; called from several threads at once.</param>
    public static IKafkaSerde<T> From<T>(KafkaWrite<T> write, KafkaRead<T> read)
    {
        ArgumentNullException.ThrowIfNull(write);
        ArgumentNullException.ThrowIfNull(read);
        return new DelegateSerde<T>(write, read);
    }
}

/// <summary>A key or value that is never there.</summary>
public readonly record struct Absent;
