using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The newest that a producer has written.</summary>
/// <param name="LastDataOffset">The last offset of its last batch in this epoch; null where a marker is all that there is of it.</param>
internal readonly record struct LastBatch(short Epoch, Offset? LastDataOffset);
