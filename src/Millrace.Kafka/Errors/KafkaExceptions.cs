using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// What every failure of the client derives from. The message names the broker, the API and the partition where they are known, and
/// what to do.
/// </summary>
public abstract class KafkaException : Exception
{
    private protected KafkaException(string message, ErrorCode errorCode, bool isTransient, Exception? innerException = null)
        : base(message, innerException)
    {
        ErrorCode = errorCode;
        IsTransient = isTransient;
    }

    /// <summary>Kafka's error code, or <see cref="ErrorCode.None"/> where no broker answered with one.</summary>
    public ErrorCode ErrorCode { get; }

    /// <summary>
    /// Whether the same call may succeed later with nothing changed but the cluster's state. The client has then already retried as
    /// long as its time-outs allow.
    /// </summary>
    public bool IsTransient { get; }
}

/// <summary>A connection could not be opened, or broke with the request outstanding. The broker may or may not have acted on it.</summary>
/// <param name="message">What broke, where, and what to do.</param>
/// <param name="innerException">The transport's own failure.</param>
public sealed class KafkaConnectionException(string message, Exception? innerException = null)
    : KafkaException(message, ErrorCode.None, isTransient: true, innerException);

/// <summary>Time ran out: no answer, no space in the buffer, or no acknowledgement within the time allowed.</summary>
/// <param name="message">What was waited for, how long, and which option sets it.</param>
/// <param name="errorCode">The last error that a broker answered with while retrying.</param>
/// <param name="innerException">The last failure while retrying.</param>
public sealed class KafkaTimeoutException(string message, ErrorCode errorCode = ErrorCode.None, Exception? innerException = null)
    : KafkaException(message, errorCode, isTransient: true, innerException);

/// <summary>A broker answered with an error. <see cref="KafkaException.IsTransient"/> follows Kafka's own table of errors.</summary>
/// <param name="message">Broker, API, partition, and what to do.</param>
/// <param name="errorCode">The error.</param>
public sealed class KafkaBrokerException(string message, ErrorCode errorCode)
    : KafkaException(message, errorCode, KafkaErrors.IsRetriable(errorCode));

/// <summary>
/// Client and broker could not make sure of each other: the broker refused the user, the token or the certificate, or the client did not trust the broker. Trying the same
/// again does not help: somebody has to mend a setting, so that it is not transient. The client asks a broker that has refused it again only after pauses that grow to
/// 30 s, and meanwhile fails with the same exception.
/// </summary>
public sealed class KafkaAuthenticationException : KafkaException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Broker, mechanism, what is wrong and what to do. No secret.</param>
    /// <param name="broker">The broker.</param>
    /// <param name="mechanism">The SASL mechanism, such as <c>SCRAM-SHA-512</c>, or <c>TLS</c>.</param>
    /// <param name="errorCode">The broker's error, where it answered with one.</param>
    /// <param name="innerException">The TLS library's own failure.</param>
    public KafkaAuthenticationException(
        string message, BrokerAddress broker, string mechanism, ErrorCode errorCode = ErrorCode.None, Exception? innerException = null)
        : base(message, errorCode, isTransient: false, innerException)
    {
        Broker = broker;
        Mechanism = mechanism;
    }

    /// <summary>The broker.</summary>
    public BrokerAddress Broker { get; }

    /// <summary>The SASL mechanism, such as <c>SCRAM-SHA-512</c>, or <c>TLS</c>.</summary>
    public string Mechanism { get; }
}

/// <summary>Client and broker have no version of an API in common. Upgrade the older of the two.</summary>
/// <param name="message">The API and both ranges.</param>
public sealed class KafkaVersionException(string message)
    : KafkaException(message, ErrorCode.UnsupportedVersion, isTransient: false);

/// <summary>A broker's answer is not what the protocol allows: it cannot be read, and the connection is closed, or it leaves out something that was asked for.</summary>
/// <param name="message">Broker, API, and the place in the message or what is missing.</param>
/// <param name="innerException">The decoder's own failure.</param>
public sealed class KafkaProtocolException(string message, Exception? innerException = null)
    : KafkaException(message, ErrorCode.None, isTransient: false, innerException);

/// <summary>A record is larger than the producer or the broker takes. It is not written.</summary>
/// <param name="message">The record's size, the limit, and the option that sets it.</param>
public sealed class KafkaRecordTooLargeException(string message)
    : KafkaException(message, ErrorCode.MessageTooLarge, isTransient: false);

/// <summary>
/// The producer's buffer is full, and as many bytes of records wait for it as it holds: its caller does not await what it is given. The record is not written. Produce it again
/// when others are acknowledged.
/// </summary>
/// <param name="message">How much waits, the limit, and the option that sets it.</param>
public sealed class KafkaBufferFullException(string message)
    : KafkaException(message, ErrorCode.None, isTransient: true);

/// <summary>
/// The broker no longer knows the sequence of an idempotent producer (KIP-360) and the fate of a record that was already sent cannot be
/// told: it may have been written once, or not at all; it is not written again. Records produced later continue with a new epoch.
/// </summary>
/// <param name="message">Broker, partition, and what is known of the record.</param>
/// <param name="errorCode">The broker's error.</param>
public sealed class KafkaProducerStateException(string message, ErrorCode errorCode)
    : KafkaException(message, errorCode, isTransient: false);

/// <summary>
/// A transaction cannot be committed: something of it failed, or the partitions whose offsets it sends have moved. Call
/// <see cref="KafkaProducer.AbortTransactionAsync"/>; then the producer can be used for the next transaction.
/// </summary>
/// <param name="message">What failed.</param>
/// <param name="errorCode">The broker's error.</param>
/// <param name="innerException">The first failure of the transaction.</param>
public sealed class KafkaTransactionAbortableException(string message, ErrorCode errorCode, Exception? innerException = null)
    : KafkaException(message, errorCode, isTransient: false, innerException);

/// <summary>
/// Another producer has taken the transactional id, or the coordinator has ended the transaction after its time-out. Nothing that this producer does can be committed any more: close it,
/// and leave the work to the other one.
/// </summary>
/// <param name="message">The transactional id, and who said so.</param>
/// <param name="errorCode">The broker's error.</param>
public sealed class KafkaProducerFencedException(string message, ErrorCode errorCode)
    : KafkaException(message, errorCode, isTransient: false);

/// <summary>A transactional producer can do nothing any more. Close it; whether a new one works depends on the cause. A transaction that was open is aborted by its time-out, or by the next producer of the id.</summary>
/// <param name="message">What failed, and where.</param>
/// <param name="errorCode">The broker's error.</param>
/// <param name="innerException">The failure itself.</param>
public sealed class KafkaTransactionFatalException(string message, ErrorCode errorCode, Exception? innerException = null)
    : KafkaException(message, errorCode, isTransient: false, innerException);

/// <summary>The producer, consumer or client was closed before the record was acknowledged or the call was answered.</summary>
/// <param name="message">What was closed.</param>
public sealed class KafkaClosedException(string message)
    : KafkaException(message, ErrorCode.None, isTransient: false);

/// <summary>
/// The group has moved on: the partitions belong to another member by now, so the commit was refused. Stop working on those partitions;
/// the consumer joins again by itself.
/// </summary>
/// <param name="message">Group, member and generation.</param>
/// <param name="errorCode">The coordinator's error.</param>
public sealed class KafkaGroupFencedException(string message, ErrorCode errorCode)
    : KafkaException(message, errorCode, isTransient: false);

/// <summary>
/// Another consumer has joined the group with this one's <see cref="ConsumerOptions.GroupInstanceId"/>. This one is out for good, and each of its calls says so:
/// two that came back would take the place from each other for ever.
/// </summary>
/// <param name="message">Group, member and instance id.</param>
public sealed class KafkaInstanceFencedException(string message)
    : KafkaException(message, ErrorCode.FencedInstanceId, isTransient: false);

/// <summary>
/// A partition has no usable position: nothing is committed, or the position lies outside the log, and
/// <see cref="ConsumerOptions.AutoOffsetReset"/> is <see cref="AutoOffsetReset.None"/>. Seek to go on.
/// </summary>
/// <param name="message">Partition, position and what to do.</param>
/// <param name="partition">The partition without a position.</param>
public sealed class KafkaOffsetOutOfRangeException(string message, TopicPartition partition)
    : KafkaException(message, ErrorCode.OffsetOutOfRange, isTransient: false)
{
    /// <summary>The partition without a position.</summary>
    public TopicPartition Partition { get; } = partition;
}

/// <summary>
/// The log of a partition was truncated below the position, as after an unclean leader election: records that were handed out are gone, or others are in their place (KIP-320). Told where
/// <see cref="ConsumerOptions.AutoOffsetReset"/> is <see cref="AutoOffsetReset.None"/>; otherwise the consumer goes on from where the logs part, and logs it. Seek to go on.
/// </summary>
/// <param name="message">Partition, position and where the logs part.</param>
/// <param name="partition">The partition.</param>
/// <param name="position">The position that is not in the leader's log.</param>
/// <param name="divergentOffset">The first offset that is known to differ; null where the leader cannot tell.</param>
public sealed class KafkaLogTruncatedException(string message, TopicPartition partition, Offset position, Offset? divergentOffset)
    : KafkaException(message, ErrorCode.OffsetOutOfRange, isTransient: false)
{
    /// <summary>The partition.</summary>
    public TopicPartition Partition { get; } = partition;

    /// <summary>The position that is not in the leader's log.</summary>
    public Offset Position { get; } = position;

    /// <summary>The first offset that is known to differ from what was read; null where the leader cannot tell.</summary>
    public Offset? DivergentOffset { get; } = divergentOffset;
}

/// <summary>A fetched batch fails its checksum or cannot be decoded. The position stays before it; seek past it to go on.</summary>
/// <param name="message">Partition, offset and what is wrong.</param>
/// <param name="partition">The partition.</param>
/// <param name="offset">The offset where the batch starts.</param>
/// <param name="innerException">The decoder's own failure.</param>
public sealed class KafkaCorruptBatchException(string message, TopicPartition partition, Offset offset, Exception? innerException = null)
    : KafkaException(message, ErrorCode.CorruptMessage, isTransient: false, innerException)
{
    /// <summary>The partition.</summary>
    public TopicPartition Partition { get; } = partition;

    /// <summary>The offset where the batch starts.</summary>
    public Offset Offset { get; } = offset;
}
