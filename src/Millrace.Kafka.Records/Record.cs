namespace Millrace.Kafka.Records;

/// <summary>A name and a value beside a record. Names may repeat; their order is kept.</summary>
public readonly record struct RecordHeader(string Key, ReadOnlyMemory<byte>? Value);

/// <summary>
/// A record as it is read from a batch. A null key or value differs from an empty one: a null value deletes its key in a compacted topic.
/// </summary>
/// <param name="Offset">Its position in the partition.</param>
/// <param name="Timestamp">Milliseconds since 1970.</param>
/// <param name="Key">Null when there is none.</param>
/// <param name="Value">Null when there is none.</param>
/// <param name="Headers">Empty when there are none.</param>
public readonly record struct Record(
    Offset Offset,
    long Timestamp,
    ReadOnlyMemory<byte>? Key,
    ReadOnlyMemory<byte>? Value,
    IReadOnlyList<RecordHeader> Headers);
