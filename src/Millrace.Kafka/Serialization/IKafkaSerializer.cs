using System.Buffers;

namespace Millrace.Kafka;

/// <summary>Turns keys or values into bytes. Calls may come from several threads at once.</summary>
/// <typeparam name="T">What is written.</typeparam>
public interface IKafkaSerializer<in T>
{
    /// <summary>
    /// Whether nothing is written for it: a record without a key, or without a value, which is a tombstone. Then no other member is called. Default: whether it is null.
    /// </summary>
    /// <param name="value">The key or value.</param>
    bool IsNull(T value) => Nulls.Has<T>() && value is null;

    /// <summary>
    /// Gets what <see cref="Serialize"/> needs and has to wait for, such as the id of a schema in a registry. Called before it for each record, and completes at once whenever the answer is
    /// known, so that only the first record waits. Default: nothing is needed.
    /// </summary>
    /// <param name="value">What is about to be written.</param>
    /// <param name="context">Where it goes.</param>
    /// <param name="cancellationToken">Ends the wait; the record is not written.</param>
    ValueTask PrepareAsync(T value, SerializationContext context, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>Writes it.</summary>
    /// <param name="value">The key or value.</param>
    /// <param name="destination">Where the bytes go. Not to be kept.</param>
    /// <param name="context">Where it goes.</param>
    void Serialize(T value, IBufferWriter<byte> destination, SerializationContext context);
}

/// <summary>Turns bytes into keys or values. Calls may come from several threads at once.</summary>
/// <typeparam name="T">What is read.</typeparam>
public interface IKafkaDeserializer<out T>
{
    /// <summary>
    /// Gets what <see cref="Deserialize"/> needs and has to wait for, such as the schema whose id stands in the bytes. Called before it, and completes at once whenever the answer is known.
    /// Default: nothing is needed.
    /// </summary>
    /// <param name="data">What is about to be read; valid until the task completes.</param>
    /// <param name="context">Where it comes from.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask PrepareAsync(ReadOnlyMemory<byte> data, SerializationContext context, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>Reads it.</summary>
    /// <param name="data">All bytes of the key or value. Not to be kept.</param>
    /// <param name="context">Where it comes from.</param>
    /// <exception cref="Exception">The bytes cannot be read. Any type: it becomes the inner exception of a <see cref="KafkaDeserializationException"/>.</exception>
    T Deserialize(ReadOnlySpan<byte> data, SerializationContext context);

    /// <summary>What stands for a key or value that the record has not. Default: null, and a failure where <typeparamref name="T"/> has no null.</summary>
    /// <param name="context">Where it comes from.</param>
    /// <exception cref="FormatException">There is no null.</exception>
    T DeserializeNull(SerializationContext context) => Nulls.Has<T>()
        ? default!
        : throw new FormatException($"The record has no {(context.Part == RecordPart.Key ? "key" : "value")}, and {typeof(T).Name} has no null.");
}

/// <summary>Which types have a null. Asked before a value is compared with null, since until a method is optimised that comparison boxes a value type.</summary>
internal static class Nulls
{
    public static bool Has<T>() => Of<T>.Has;

    private static class Of<T>
    {
        public static readonly bool Has = default(T) is null;
    }
}

/// <summary>Both directions.</summary>
/// <typeparam name="T">What is written and read.</typeparam>
public interface IKafkaSerde<T> : IKafkaSerializer<T>, IKafkaDeserializer<T>;
