using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What <see cref="ProducerOptions"/> said when the producer was created, checked.</summary>
internal sealed record ProducerSettings(
    Acks Acks,
    bool IsIdempotent,
    TimeSpan Linger,
    int BatchByteCount,
    long BufferByteCount,
    int MaxRequestByteCount,
    int MaxInFlightRequests,
    TimeSpan DeliveryTimeout,
    TimeSpan MaxBlock,
    CompressionCodec Compression,
    IPartitioner Partitioner,
    bool IsPartitioningAdaptive,
    string? TransactionalId,
    TimeSpan TransactionTimeout,
    TimeSpan CloseTimeout)
{
    /// <summary>Brokers remember so many batches of a producer and partition, and recognise no older one as a duplicate.</summary>
    public const int MaxIdempotentInFlight = 5;

    /// <summary>Whether records carry the trace context.</summary>
    public bool PropagatesTraceContext { get; init; } = true;

    /// <summary>After how long a broker that takes nothing gets no records without a key; null for never.</summary>
    public TimeSpan? PartitionAvailabilityTimeout { get; init; }

    private const int MinRequestByteCount = 1024;

    public static ProducerSettings From(ProducerOptions options, ClientSettings client)
    {
        if (options.Acks is not (Acks.None or Acks.Leader or Acks.All))
        {
            throw new ArgumentException($"{nameof(options.Acks)} is {options.Acks}; it must be None, Leader or All.", nameof(options));
        }

        bool isIdempotent = options.EnableIdempotence ?? options.Acks == Acks.All;
        if (options.TransactionalId is { } id && (id.Length == 0 || !isIdempotent))
        {
            throw new ArgumentException(
                $"{nameof(options.TransactionalId)} is '{id}'; it must not be empty, and transactions need {nameof(options.EnableIdempotence)} and so {nameof(options.Acks)} = All.",
                nameof(options));
        }

        OptionChecks.AtLeast(options.TransactionTimeout, TimeSpan.FromMilliseconds(1), nameof(options.TransactionTimeout));
        OptionChecks.AtLeast(options.Linger, TimeSpan.Zero, nameof(options.Linger));
        OptionChecks.AtLeast(options.BatchByteCount, 0, nameof(options.BatchByteCount));
        OptionChecks.AtLeast(options.MaxRequestByteCount, MinRequestByteCount, nameof(options.MaxRequestByteCount));
        OptionChecks.AtLeast(options.BufferByteCount, options.MaxRequestByteCount, nameof(options.BufferByteCount));
        OptionChecks.AtLeast(options.MaxInFlightRequests, 1, nameof(options.MaxInFlightRequests));
        OptionChecks.AtLeast(options.DeliveryTimeout, TimeSpan.FromMilliseconds(1), nameof(options.DeliveryTimeout));
        OptionChecks.AtLeast(options.MaxBlock, TimeSpan.Zero, nameof(options.MaxBlock));
        OptionChecks.AtLeast(options.PartitionAvailabilityTimeout, TimeSpan.Zero, nameof(options.PartitionAvailabilityTimeout));
        OptionChecks.AtLeast(options.CloseTimeout, TimeSpan.Zero, nameof(options.CloseTimeout));
        OptionChecks.Between((int)options.Compression, (int)CompressionCodec.None, (int)CompressionCodec.Zstd, nameof(options.Compression));
        if (isIdempotent && options.Acks != Acks.All)
        {
            throw new ArgumentException(
                $"{nameof(options.EnableIdempotence)} needs {nameof(options.Acks)} = All, which is {options.Acks}. Set one of the two differently.", nameof(options));
        }

        if (isIdempotent && options.MaxInFlightRequests > MaxIdempotentInFlight)
        {
            throw new ArgumentException(
                $"{nameof(options.MaxInFlightRequests)} is {options.MaxInFlightRequests}; an idempotent producer may have at most " +
                $"{MaxIdempotentInFlight}, since brokers remember no more batches. Lower it, or set {nameof(options.EnableIdempotence)} to false.",
                nameof(options));
        }

        if (options.DeliveryTimeout < options.Linger + client.RequestTimeout)
        {
            throw new ArgumentException(
                $"{nameof(options.DeliveryTimeout)} is {options.DeliveryTimeout}; it must be at least {nameof(options.Linger)} + " +
                $"{nameof(KafkaClientOptions.RequestTimeout)} = {options.Linger + client.RequestTimeout}, or no record has time for one attempt.",
                nameof(options));
        }

        return new ProducerSettings(
            options.Acks,
            isIdempotent,
            options.Linger,
            options.BatchByteCount,
            options.BufferByteCount,
            options.MaxRequestByteCount,
            options.MaxInFlightRequests,
            options.DeliveryTimeout,
            options.MaxBlock,
            options.Compression,
            options.Partitioner ?? throw new ArgumentException($"{nameof(options.Partitioner)} is null; {nameof(Partitioners)} has some.", nameof(options)),
            options.IsPartitioningAdaptive,
            options.TransactionalId,
            options.TransactionTimeout,
            options.CloseTimeout)
        {
            PropagatesTraceContext = options.PropagateTraceContext,
            PartitionAvailabilityTimeout = options.IsPartitioningAdaptive && options.PartitionAvailabilityTimeout > TimeSpan.Zero ? options.PartitionAvailabilityTimeout : null,
        };
    }
}
