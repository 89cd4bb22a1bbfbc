using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What a partition remembers of a producer.</summary>
/// <param name="LastSequence">Of its newest batch in its epoch; -1 where it has written none, or one without sequence.</param>
/// <param name="LastTimestamp">The greatest timestamp of its newest batch or marker, in milliseconds since 1970.</param>
/// <param name="CoordinatorEpoch">Of the coordinator that ended its last transaction here; -1 where none did.</param>
/// <param name="TransactionFirstOffset">Where its open transaction begins; null where none is open.</param>
public readonly record struct ActiveProducer(
    ProducerIdentity Producer, int LastSequence, long LastTimestamp, int CoordinatorEpoch, Offset? TransactionFirstOffset);
