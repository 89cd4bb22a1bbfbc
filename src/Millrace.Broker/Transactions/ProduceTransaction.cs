using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// The transaction to which batches of one Produce request belong. A client of version 12 and up leaves it to the broker to make their partitions part of it; for an
/// older one, which has to do that itself, the broker looks whether it has (KIP-890): a batch that comes late would otherwise open a transaction that nobody ends.
/// </summary>
internal sealed class ProduceTransaction
{
    /// <summary>From here on the broker makes partitions part of the transaction.</summary>
    private const short FirstVersionThatAdds = 12;

    /// <summary>From here on clients know TRANSACTION_ABORTABLE.</summary>
    private const short FirstVersionOfAbortable = 11;

    private readonly TransactionCoordinator _coordinator;
    private readonly string _transactionalId;
    private readonly ProducerIdentity _producer;
    private readonly short _version;
    private readonly ErrorCode _refusal;

    private ProduceTransaction(TransactionCoordinator coordinator, string transactionalId, ProducerIdentity producer, short version, ErrorCode refusal)
    {
        _coordinator = coordinator;
        _transactionalId = transactionalId;
        _producer = producer;
        _version = version;
        _refusal = refusal;
    }

    /// <summary>Null where the request has no transactional id, or no batch of a transaction.</summary>
    public static ProduceTransaction? Of(ProduceRequest request, short version, TopicCatalog topics, TransactionCoordinator coordinator)
    {
        if (request.TransactionalId is not { Length: > 0 } transactionalId)
        {
            return null;
        }

        ProducerIdentity producer = ProducerIdentity.None;
        List<TopicPartition> partitions = [];
        foreach (ProduceTopic topic in request.Topics)
        {
            foreach (ProducePartition partition in topic.Partitions)
            {
                TopicPartition target = new(topic.Name, partition.Index);
                if (ProducerOf(partition) is { IsNone: false } found && topics.FindDecided(target) is not null && !TopicName.IsInternal(topic.Name))
                {
                    producer = producer.IsNone ? found : producer;
                    partitions.Add(target);
                }
            }
        }

        if (partitions.Count == 0)
        {
            return null;
        }

        ErrorCode refusal = version >= FirstVersionThatAdds ? coordinator.AddPartitions(transactionalId, producer, partitions) : ErrorCode.None;
        return new ProduceTransaction(coordinator, transactionalId, producer, version, refusal);
    }

    /// <summary>Why nothing was appended, to a person.</summary>
    public static string Describe(ErrorCode error) => error switch
    {
        ErrorCode.InvalidTxnState or ErrorCode.TransactionAbortable => "The partition is not part of an open transaction of this producer.",
        ErrorCode.InvalidProducerEpoch => "A newer producer has taken over the transactional id, or its transaction has timed out.",
        ErrorCode.InvalidProducerIdMapping => "The transactional id belongs to another producer id.",
        _ => "The transaction cannot go on just now; try again.",
    };

    /// <summary>Appends a batch as part of the transaction, or returns why not, as the request's version has it.</summary>
    public ErrorCode Append(TopicPartition target, ReadOnlyMemory<byte> batch, Action append)
    {
        // The batches of a request are those of one producer.
        ErrorCode error = RecordBatchHeader.Read(batch.Span).Producer != _producer ? ErrorCode.InvalidProducerIdMapping
            : _refusal != ErrorCode.None ? _refusal
            : _coordinator.Append(_transactionalId, _producer, target, append);
        return error switch
        {
            // What producers take for "not you any more" in an answer to Produce.
            ErrorCode.ProducerFenced => ErrorCode.InvalidProducerEpoch,
            ErrorCode.TransactionAbortable when _version < FirstVersionOfAbortable => ErrorCode.InvalidTxnState,

            // The error after which clients of every age send the batch again, and do not ask for metadata first.
            ErrorCode.ConcurrentTransactions or ErrorCode.CoordinatorNotAvailable => ErrorCode.NotEnoughReplicas,
            _ => error,
        };
    }

    private static ProducerIdentity ProducerOf(ProducePartition partition)
    {
        ReadOnlySpan<byte> batch = partition.Records.GetValueOrDefault().Span;
        if (batch.Length < RecordBatchHeader.ByteCount)
        {
            return ProducerIdentity.None;
        }

        RecordBatchHeader header = RecordBatchHeader.Read(batch);
        return header.Magic == RecordBatchHeader.CurrentMagic && header.IsTransactional ? header.Producer : ProducerIdentity.None;
    }
}
