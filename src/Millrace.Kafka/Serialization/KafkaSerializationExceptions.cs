using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A key or value could not be turned into bytes. The record is not written.</summary>
public sealed class KafkaSerializationException : KafkaException
{
    internal KafkaSerializationException(string topic, RecordPart part, Type type, Exception innerException)
        : base(
            $"The {Name(part)} of a record for topic '{topic}' cannot be written by the serialiser of {type.Name}: {Sentence(innerException)} The record is not written.",
            ErrorCode.None,
            innerException is KafkaException { IsTransient: true },
            innerException)
    {
        Topic = topic;
        Part = part;
        Type = type;
    }

    /// <summary>The topic.</summary>
    public string Topic { get; }

    /// <summary>Key or value.</summary>
    public RecordPart Part { get; }

    /// <summary>The type that the serialiser writes.</summary>
    public Type Type { get; }

    /// <summary>What somebody else's code says, so that another sentence may follow.</summary>
    internal static string Sentence(Exception failure) => failure.Message.TrimEnd() switch
    {
        "" => $"{failure.GetType().Name}.",
        [.., '.' or '!' or '?'] text => text,
        var text => $"{text}.",
    };

    internal static string Name(RecordPart part) => part == RecordPart.Key ? "key" : "value";
}

/// <summary>
/// A key or value that was consumed cannot be read. The consumer's position is behind the record already: poll on to skip it, and commit <see cref="ConsumerRecord{TKey, TValue}.Next"/> so that
/// nobody meets it again.
/// </summary>
public sealed class KafkaDeserializationException : KafkaException
{
    internal KafkaDeserializationException(TopicPartition partition, Offset offset, RecordPart part, Type type, int byteCount, Exception innerException)
        : base(
            $"The {KafkaSerializationException.Name(part)} of {partition} at offset {offset} ({byteCount} bytes) cannot be read as {type.Name}: {KafkaSerializationException.Sentence(innerException)} " +
            "Polling goes on behind the record; commit the offset behind it to skip it for good, or mend the deserialiser and seek to it.",
            ErrorCode.None,
            innerException is KafkaException { IsTransient: true } or OperationCanceledException,
            innerException)
    {
        Partition = partition;
        Offset = offset;
        Part = part;
        Type = type;
    }

    /// <summary>The partition.</summary>
    public TopicPartition Partition { get; }

    /// <summary>The record's offset.</summary>
    public Offset Offset { get; }

    /// <summary>Key or value.</summary>
    public RecordPart Part { get; }

    /// <summary>The type that the deserialiser reads.</summary>
    public Type Type { get; }
}
