using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A transaction that was aborted: who reads committed records leaves out those of its producer between the two offsets.</summary>
/// <param name="FirstOffset">Of its first record.</param>
/// <param name="LastOffset">Of its marker.</param>
/// <param name="LastStableOffset">Where the next open transaction began when this one ended; the offset after the marker, if none was open.</param>
public readonly record struct AbortedTransaction(long ProducerId, Offset FirstOffset, Offset LastOffset, Offset LastStableOffset);
