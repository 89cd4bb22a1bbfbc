using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Whose acknowledgement completes a produce.</summary>
public enum Acks
{
    /// <summary>Nobody's: the record may be lost without notice, and its offset is not known.</summary>
    None = 0,

    /// <summary>The leader's page cache.</summary>
    Leader = 1,

    /// <summary>All in-sync replicas; on Millrace's own broker, the disk.</summary>
    All = -1,
}

/// <summary>How a <see cref="KafkaProducer"/> batches, waits and retries. Checked and copied when the producer is created.</summary>
public sealed class ProducerOptions
{
    /// <summary>Kafka: <c>acks</c>. Default <see cref="Acks.All"/>, as Kafka.</summary>
    public Acks Acks { get; set; } = Acks.All;

    /// <summary>
    /// Kafka: <c>enable.idempotence</c>. Whether retries can neither duplicate nor reorder records of a partition. Needs
    /// <see cref="Acks.All"/> and at most 5 requests in flight. Default null: true when <see cref="Acks"/> is <see cref="Acks.All"/>.
    /// </summary>
    public bool? EnableIdempotence { get; set; }

    /// <summary>Kafka: <c>linger.ms</c>. How long a batch that is not full waits for more records. Default 5 ms, as Kafka 4.</summary>
    public TimeSpan Linger { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <summary>
    /// Kafka: <c>batch.size</c>. Bytes of records after which a batch is sent without waiting. A record that is larger travels in a batch
    /// of its own. Default 16,384, as Kafka.
    /// </summary>
    public int BatchByteCount { get; set; } = 16_384;

    /// <summary>
    /// Kafka: <c>buffer.memory</c>. Bytes of records that may wait for their acknowledgement, or for their handler to be told of it, where a batch counts as at least 1 KiB;
    /// when they are reached, a produce waits, first come first served. Default 32 MiB, as Kafka.
    /// </summary>
    public long BufferByteCount { get; set; } = 32L * 1024 * 1024;

    /// <summary>Kafka: <c>max.request.size</c>. The largest produce request, and so the largest record, in bytes. Default 1 MiB, as Kafka.</summary>
    public int MaxRequestByteCount { get; set; } = 1024 * 1024;

    /// <summary>Kafka: <c>max.in.flight.requests.per.connection</c>. Produce requests outstanding at one broker. Default 5, as Kafka.</summary>
    public int MaxInFlightRequests { get; set; } = 5;

    /// <summary>
    /// Kafka: <c>delivery.timeout.ms</c>. The time from a record's entry into the buffer until it is acknowledged or has failed, all
    /// retries included. At least <see cref="Linger"/> + <see cref="KafkaClientOptions.RequestTimeout"/>. Default 120 s, as Kafka.
    /// </summary>
    public TimeSpan DeliveryTimeout { get; set; } = TimeSpan.FromSeconds(120);

    /// <summary>Kafka: <c>max.block.ms</c>. How long a produce waits for metadata and for space in the buffer. Default 60 s, as Kafka.</summary>
    public TimeSpan MaxBlock { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>Kafka: <c>compression.type</c>. How batches are compressed. Default <see cref="CompressionCodec.None"/>, as Kafka.</summary>
    public CompressionCodec Compression { get; set; } = CompressionCodec.None;

    /// <summary>
    /// Kafka: <c>partitioner.class</c>. Chooses the partition of records that name none. Default <see cref="Partitioners.Murmur2"/>, as Java's clients;
    /// librdkafka's default is <see cref="Partitioners.Crc32"/>. Programs that write one topic by key must agree on it.
    /// </summary>
    public IPartitioner Partitioner { get; set; } = Partitioners.Murmur2;

    /// <summary>
    /// Kafka: <c>partitioner.adaptive.partitioning.enable</c>. Whether records without a key go to partitions with a shorter line more often (KIP-794).
    /// Default true, as Kafka.
    /// </summary>
    public bool IsPartitioningAdaptive { get; set; } = true;

    /// <summary>
    /// Kafka: <c>partitioner.availability.timeout.ms</c>. After how long a broker that takes no batch although one is due for it gets no records without a key any more, until it takes one again or
    /// nothing waits for it (KIP-794). Only where <see cref="IsPartitioningAdaptive"/> is true. Default 0, as Kafka: never.
    /// </summary>
    public TimeSpan PartitionAvailabilityTimeout { get; set; }

    /// <summary>
    /// Kafka: <c>transactional.id</c>. Makes the producer transactional; whoever comes next with the same id fences it. It must be the same for what stands in for a producer that
    /// died, and differ from those that work beside it. Default null: no transactions.
    /// </summary>
    public string? TransactionalId { get; set; }

    /// <summary>
    /// Kafka: <c>transaction.timeout.ms</c>. How long a transaction may stay open before its coordinator aborts it. At most the broker's <c>transaction.max.timeout.ms</c> (15 min).
    /// Default 60 s, as Kafka.
    /// </summary>
    public TimeSpan TransactionTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Whether a record that is produced within an <see cref="System.Diagnostics.Activity"/> carries its W3C trace context in headers (<c>traceparent</c>, <c>tracestate</c>). Only while somebody
    /// listens to the source <c>Millrace.Kafka</c>, and not over a context that the record has already. Default true.
    /// </summary>
    public bool PropagateTraceContext { get; set; } = true;

    /// <summary>How long disposal waits for outstanding records before it fails them. Default 30 s.</summary>
    public TimeSpan CloseTimeout { get; set; } = TimeSpan.FromSeconds(30);
}
