namespace Millrace.Kafka;

/// <summary>The partitioners that other clients have, so that programs in several languages put one key into one partition.</summary>
public static class Partitioners
{
    /// <summary>
    /// By murmur2 of the key, as Java's clients and kafkajs do; librdkafka calls it <c>murmur2_random</c>. A record without a key is left to the producer.
    /// An empty key is a key.
    /// </summary>
    public static IPartitioner Murmur2 { get; } = new Murmur2Partitioner();

    /// <summary>
    /// By CRC-32 of the key, as librdkafka does by default (<c>consistent_random</c>) and with it kcat and the clients of Python, Go and .NET that wrap it. A
    /// record without a key, or with an empty one, is left to the producer.
    /// </summary>
    public static IPartitioner Crc32 { get; } = new Crc32Partitioner();

    /// <summary>No key decides anything: every record is left to the producer (KIP-794, <c>partitioner.ignore.keys</c>).</summary>
    public static IPartitioner IgnoreKeys { get; } = new KeylessPartitioner();

    private sealed class Murmur2Partitioner : IPartitioner
    {
        public int? Choose(in SpanRecord record, int partitionCount) =>
            record.HasKey ? Kafka.Murmur2.Partition(record.Key, partitionCount) : null;
    }

    private sealed class Crc32Partitioner : IPartitioner
    {
        public int? Choose(in SpanRecord record, int partitionCount) =>
            record.Key.IsEmpty ? null : (int)(Kafka.Crc32.Hash(record.Key) % (uint)partitionCount);
    }

    private sealed class KeylessPartitioner : IPartitioner
    {
        public int? Choose(in SpanRecord record, int partitionCount) => null;
    }
}
