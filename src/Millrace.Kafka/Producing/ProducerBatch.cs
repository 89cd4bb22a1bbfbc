using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Records of one partition that are sent, and succeed or fail, together.</summary>
internal sealed class ProducerBatch(TopicPartition partition, long ordinal, RecordBatchBuilder builder, TimeSpan createdAt)
{
    private const int NoSequence = -1;

    private readonly List<TaskCompletionSource<RecordMetadata>> _completions = [];
    private Memory<byte> _bytes;
    private ProducerIdentity _builtIdentity;
    private int _builtSequence;
    private TaskCompletionSource? _done;

    public TopicPartition Partition { get; } = partition;

    /// <summary>The place in the partition's order of batches. Never changes, whatever happens to the sequence.</summary>
    public long Ordinal { get; } = ordinal;

    public TimeSpan CreatedAt { get; } = createdAt;

    /// <summary>Bytes that the records hold of the buffer.</summary>
    public long ReservedByteCount { get; private set; }

    public int RecordCount => _completions.Count;

    public int EstimatedByteCount => IsBuilt ? _bytes.Length : builder.EstimatedByteCount;

    /// <summary>No record may join any more.</summary>
    public bool IsClosed { get; set; }

    /// <summary>The records' callers have their answer; what remains is to learn what became of the sequence.</summary>
    public bool IsAnswered { get; private set; }

    public ProducerIdentity Identity { get; private set; } = ProducerIdentity.None;

    public int BaseSequence { get; private set; } = NoSequence;

    public bool HasSequence => BaseSequence >= 0;

    /// <summary>How often it was sent.</summary>
    public int AttemptCount { get; set; }

    /// <summary>
    /// An attempt ended without an answer that says that nothing was written. From then on the sequence does not change, unless it is
    /// proved otherwise.
    /// </summary>
    public bool MayBeWritten { get; set; }

    public TimeSpan RetryAt { get; set; }

    /// <summary>The broker of the attempt under way.</summary>
    public int NodeId { get; set; } = -1;

    private bool IsBuilt => !_bytes.IsEmpty;

    public void Append(ProducerRecord record, long timestamp, long reservedByteCount, TaskCompletionSource<RecordMetadata> completion)
    {
        builder.Append(timestamp, record.Key, record.Value, record.Headers);
        _completions.Add(completion);
        ReservedByteCount += reservedByteCount;
    }

    public void AssignSequence(ProducerIdentity identity, int baseSequence)
    {
        Identity = identity;
        BaseSequence = baseSequence;
    }

    /// <summary>Takes the sequence back. Only for a batch that is known not to be written under it.</summary>
    public void ClearSequence()
    {
        Invariant.Holds(!MayBeWritten, $"a batch of {Partition} that may be written keeps its sequence");
        AssignSequence(ProducerIdentity.None, NoSequence);
    }

    /// <summary>The bytes to send, compressed once; a changed sequence is patched in. Called by one thread at a time.</summary>
    public ReadOnlyMemory<byte> Seal()
    {
        if (!IsBuilt)
        {
            _bytes = builder.Build(Identity, BaseSequence);
        }
        else if (_builtIdentity != Identity || _builtSequence != BaseSequence)
        {
            RecordBatch.AssignProducer(_bytes.Span, Identity, BaseSequence);
        }

        _builtIdentity = Identity;
        _builtSequence = BaseSequence;
        return _bytes;
    }

    /// <summary>Completes when the records' callers have their answer; never fails.</summary>
    public Task WhenAnswered()
    {
        if (IsAnswered)
        {
            return Task.CompletedTask;
        }

        _done ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _done.Task;
    }

    /// <summary>Takes the right to answer, once.</summary>
    public bool TryBeginAnswer()
    {
        bool isFirst = !IsAnswered;
        IsAnswered = true;
        return isFirst;
    }

    public void Succeed(Offset? baseOffset, DateTimeOffset? timestamp)
    {
        for (int i = 0; i < _completions.Count; i++)
        {
            Offset offset = baseOffset is { } known ? known + i : new Offset(-1);
            _completions[i].TrySetResult(new RecordMetadata(Partition, offset, timestamp));
        }

        _done?.TrySetResult();
    }

    public void Fail(Exception failure)
    {
        foreach (TaskCompletionSource<RecordMetadata> completion in _completions)
        {
            if (completion.TrySetException(failure))
            {
                // Observed here: a caller that stopped waiting does not come back for it.
                _ = completion.Task.Exception;
            }
        }

        _done?.TrySetResult();
    }
}
