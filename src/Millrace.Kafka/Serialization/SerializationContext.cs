using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Which half of a record bytes belong to.</summary>
public enum RecordPart
{
    /// <summary>The key.</summary>
    Key,

    /// <summary>The value.</summary>
    Value,
}

/// <summary>What a serialiser may want to know of the record whose key or value it writes or reads.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="Part">Key or value.</param>
/// <param name="Headers">The record's headers, in their order; empty if there are none.</param>
public readonly record struct SerializationContext(string Topic, RecordPart Part, IReadOnlyList<RecordHeader> Headers);
