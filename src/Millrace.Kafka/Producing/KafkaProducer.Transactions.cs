namespace Millrace.Kafka;

public sealed partial class KafkaProducer
{
    /// <summary>
    /// Registers <see cref="ProducerOptions.TransactionalId"/> with its coordinator: other producers with this id are fenced from now on, and what they left open is aborted. Once,
    /// before the first transaction.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only; a second call waits for the same.</param>
    /// <exception cref="InvalidOperationException">The producer has no transactional id.</exception>
    /// <exception cref="KafkaTransactionFatalException">The coordinator refuses the id, or its time-out.</exception>
    /// <exception cref="KafkaTimeoutException">Not finished within <see cref="ProducerOptions.MaxBlock"/>. It goes on; call again to wait longer.</exception>
    public Task InitTransactionsAsync(CancellationToken cancellationToken = default) => Transactional().InitAsync(cancellationToken);

    /// <summary>Begins a transaction. What is produced from now on becomes visible to <c>read_committed</c> consumers all together, by <see cref="CommitTransactionAsync"/>, or never.</summary>
    /// <exception cref="InvalidOperationException">A transaction is open, or <see cref="InitTransactionsAsync"/> has not succeeded.</exception>
    /// <exception cref="KafkaProducerFencedException">Another producer has the transactional id.</exception>
    public void BeginTransaction() => Transactional().Begin();

    /// <summary>
    /// Makes offsets of a consumer group part of the transaction: they are committed with it, or not at all (KIP-447). With the metadata of a consumer they are
    /// refused if the partitions were not its own without a gap since their records were handed out: by the consumer itself, which knows of partitions that went and came back, or by the
    /// coordinator.
    /// </summary>
    /// <param name="offsets">The offsets from which the group is to go on: one behind the last record that was processed.</param>
    /// <param name="group">Who commits: <see cref="KafkaConsumer.GroupMetadata"/>, taken after the poll whose records are committed.</param>
    /// <param name="cancellationToken">Ends the wait only. Then the transaction is best aborted.</param>
    /// <exception cref="InvalidOperationException">No transaction is open.</exception>
    /// <exception cref="KafkaTransactionAbortableException">The member has lost the partitions, may not commit, or the transaction has failed before: abort it.</exception>
    /// <exception cref="KafkaProducerFencedException">Another producer has the transactional id.</exception>
    public Task SendOffsetsToTransactionAsync(
        IReadOnlyCollection<TopicPartitionOffset> offsets, ConsumerGroupMetadata group, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(offsets);
        ArgumentNullException.ThrowIfNull(group);
        return Transactional().SendOffsetsAsync(offsets, group, cancellationToken);
    }

    /// <summary>
    /// Flushes, and commits. When it returns, the records and offsets of the transaction are visible together, whatever crashes afterwards. Who gets anything but an exception that says
    /// otherwise (time-out, cancellation) has not learned the outcome: call again to wait for it.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only; a second call waits for the same.</param>
    /// <exception cref="InvalidOperationException">No transaction is open.</exception>
    /// <exception cref="KafkaTransactionAbortableException">
    /// A record or offset of the transaction has failed: nothing is committed, unless the message says that the outcome is unknown; abort it.
    /// </exception>
    /// <exception cref="KafkaProducerFencedException">
    /// Another producer has the transactional id, and the transaction is aborted, unless the message says that its outcome is unknown: an attempt to commit it may have been carried out, and its answer
    /// was lost.
    /// </exception>
    /// <exception cref="KafkaTransactionFatalException">The coordinator refuses for good, or cannot be asked. Nothing is committed, unless the message says that the outcome is unknown.</exception>
    /// <exception cref="KafkaTimeoutException">Not finished within <see cref="ProducerOptions.MaxBlock"/>. It goes on; call again to wait longer.</exception>
    public Task CommitTransactionAsync(CancellationToken cancellationToken = default) => Transactional().CommitAsync(cancellationToken);

    /// <summary>Drops what is not sent, and aborts. Afterwards the next transaction can begin.</summary>
    /// <param name="cancellationToken">Ends the wait only; a second call waits for the same.</param>
    /// <exception cref="InvalidOperationException">No transaction is open, or its commit is under way.</exception>
    /// <exception cref="KafkaProducerFencedException">Another producer has the transactional id, and the transaction is aborted.</exception>
    /// <exception cref="KafkaTransactionFatalException">The coordinator refuses for good.</exception>
    /// <exception cref="KafkaTimeoutException">Not finished within <see cref="ProducerOptions.MaxBlock"/>. It goes on; call again to wait longer.</exception>
    public Task AbortTransactionAsync(CancellationToken cancellationToken = default) => Transactional().AbortAsync(cancellationToken);

    private ProducerTransactions Transactional()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing is not null, this);
        }

        return _transactions
            ?? throw new InvalidOperationException($"The producer has no transactions. Create it with a {nameof(ProducerOptions.TransactionalId)}.");
    }
}
