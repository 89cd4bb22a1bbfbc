using System.Diagnostics;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Records of one partition that are sent, and succeed or fail, together. A batch that was acknowledged without trouble is used again, with its memory.
/// </summary>
internal sealed class ProducerBatch
{
    /// <summary>What a batch takes of the buffer at least: about the memory that it is made of, however small its records are.</summary>
    private const int LeastByteCount = 1024;

    private const int NoSequence = -1;
    private const int FirstDeliveryCount = 4;
    private const int FirstByteCount = 512;

    private readonly RecordBatchBuilder _builder;
    private Delivery[] _deliveries = new Delivery[FirstDeliveryCount];
    private Memory<byte> _bytes;
    private ProducerIdentity _builtIdentity;
    private int _builtSequence;
    private TaskCompletionSource? _done;
    private List<TaskCompletionSource>? _alsoDone;
    private List<ActivityLink>? _links;

    public ProducerBatch(PartitionQueue queue, long ordinal, CompressionCodec compression, TimeSpan createdAt)
    {
        _builder = new RecordBatchBuilder(compression, FirstByteCount);
        Node = new LinkedListNode<ProducerBatch>(this);
        Queue = queue;
        Begin(queue, ordinal, createdAt);
    }

    /// <summary>Its place among those that wait.</summary>
    public LinkedListNode<ProducerBatch> Node { get; }

    public PartitionQueue Queue { get; private set; }

    public TopicPartition Partition => Queue.Partition;

    /// <summary>The place in the partition's order of batches, whatever happens to the sequence.</summary>
    public long Ordinal { get; private set; }

    public TimeSpan CreatedAt { get; private set; }

    /// <summary>Bytes of the records, before compression.</summary>
    public long RecordByteCount { get; private set; }

    /// <summary>Bytes that the batch holds of the buffer.</summary>
    public long ReservedByteCount => Math.Max(RecordByteCount, LeastByteCount);

    public int RecordCount { get; private set; }

    public int EstimatedByteCount => IsBuilt ? _bytes.Length : _builder.EstimatedByteCount;

    /// <summary>What the batch holds for its next use: more than its bytes where these were compressed.</summary>
    public int MemoryByteCount => Math.Max(_bytes.Length, _builder.CapacityByteCount);

    /// <summary>No record may join any more.</summary>
    public bool IsClosed { get; set; }

    /// <summary>What the records' callers are told is settled; what remains is to learn what became of the sequence.</summary>
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

    /// <summary>What came of the last attempt that ended; null if there is none, or if it succeeded.</summary>
    public KafkaException? LastFailure { get; set; }

    /// <summary>The broker of the attempt under way.</summary>
    public int NodeId { get; set; } = -1;

    /// <summary>Where records come from whose headers say so; only while somebody listens to traces.</summary>
    public IReadOnlyList<ActivityLink> Links => _links ?? (IReadOnlyList<ActivityLink>)[];

    private bool IsBuilt => !_bytes.IsEmpty;

    private bool IsTold { get; set; }

    /// <summary>Begins anew, for a batch that was acknowledged.</summary>
    public void Begin(PartitionQueue queue, long ordinal, TimeSpan createdAt)
    {
        Queue = queue;
        Ordinal = ordinal;
        CreatedAt = createdAt;
        _builder.Reset(_bytes);
        _bytes = default;
        Array.Clear(_deliveries, 0, RecordCount);
        RecordCount = 0;
        RecordByteCount = 0;
        IsClosed = false;
        IsAnswered = false;
        IsTold = false;
        Identity = ProducerIdentity.None;
        BaseSequence = NoSequence;
        AttemptCount = 0;
        MayBeWritten = false;
        RetryAt = default;
        LastFailure = null;
        NodeId = -1;
        _done = null;
        _alsoDone = null;
        _links = null;
    }

    public void Append(in SpanRecord record, long timestamp, int byteCount, in Delivery delivery)
    {
        _builder.Append(timestamp, record.Key, !record.HasKey, record.Value, !record.HasValue, record.Headers);
        if (RecordCount == _deliveries.Length)
        {
            Array.Resize(ref _deliveries, 2 * RecordCount);
        }

        _deliveries[RecordCount++] = delivery;
        RecordByteCount += byteCount;
        if (record.Headers is { Count: > 0 } headers && Diagnostics.IsTracing)
        {
            AddLink(TraceContext.Of(headers));
        }
    }

    private void AddLink(ActivityContext context)
    {
        _links ??= [];
        if (context != default && _links.Count < Diagnostics.MaxLinkCount)
        {
            _links.Add(new ActivityLink(context));
        }
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
    public ReadOnlyMemory<byte> Seal(bool isTransactional = false)
    {
        if (!IsBuilt)
        {
            _bytes = _builder.Build(Identity, BaseSequence, isTransactional);
        }
        else if (_builtIdentity != Identity || _builtSequence != BaseSequence)
        {
            RecordBatch.AssignProducer(_bytes.Span, Identity, BaseSequence);
        }

        _builtIdentity = Identity;
        _builtSequence = BaseSequence;
        return _bytes;
    }

    /// <summary>Completes when the records' callers have been told; never fails.</summary>
    public Task WhenTold()
    {
        if (IsTold)
        {
            return Task.CompletedTask;
        }

        _done ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _done.Task;
    }

    /// <summary>Has one more completed with the batch.</summary>
    public void CompleteToo(TaskCompletionSource done) => (_alsoDone ??= []).Add(done);

    /// <summary>Takes the right to answer, once.</summary>
    public bool TryBeginAnswer()
    {
        bool isFirst = !IsAnswered;
        IsAnswered = true;
        return isFirst;
    }

    /// <summary>Tells everybody. Returns what the first of the handlers that threw has thrown.</summary>
    public Exception? Answer(Offset? baseOffset, DateTimeOffset? timestamp, Exception? failure)
    {
        Exception? thrown = null;
        for (int i = 0; i < RecordCount; i++)
        {
            Delivery delivery = _deliveries[i];
            if (delivery.Handler is null)
            {
                continue;
            }

            Offset offset = baseOffset is { } known && failure is null ? known + i : new Offset(-1);
            try
            {
                delivery.Handler.OnDelivered(new DeliveryReport(Partition, offset, timestamp, failure, delivery.Tag));
            }
            catch (Exception caught)
            {
                thrown ??= caught;
            }
        }

        return thrown;
    }

    /// <summary>Everybody has been told.</summary>
    public void EndAnswer()
    {
        IsTold = true;
        _done?.TrySetResult();
        foreach (TaskCompletionSource done in _alsoDone ?? [])
        {
            done.TrySetResult();
        }
    }

    public void MoveBack(int count) => Ordinal += count;

    /// <summary>
    /// Two batches of about half the bytes each, which together take this one's place: its order, its sequences, its callers, and what is known of earlier attempts. For one with more than a record
    /// that was sent.
    /// </summary>
    public (ProducerBatch First, ProducerBatch Second) Split(CompressionCodec compression, TimeSpan retryAt)
    {
        List<Record> records = RecordBatchReader.Read(_bytes, int.MaxValue);
        int[] byteCounts = [.. records.Select(static record =>
            (int)RecordBatchBuilder.EstimateRecordByteCount(record.Key?.Length ?? 0, record.Value?.Length ?? 0, record.Headers))];
        long half = RecordByteCount / 2;
        int firstCount = 1;
        for (long sum = byteCounts[0]; firstCount < records.Count - 1 && sum + byteCounts[firstCount] <= half; firstCount++)
        {
            sum += byteCounts[firstCount];
        }

        ProducerBatch first = Part(0, firstCount);
        ProducerBatch second = Part(firstCount, records.Count - firstCount);
        second.RecordByteCount = RecordByteCount - first.RecordByteCount;

        // Callers are told in the order of the batches: when the second's have been, all have.
        second._done = _done;
        second._alsoDone = _alsoDone;
        first._links = _links;
        return (first, second);

        ProducerBatch Part(int start, int count)
        {
            var part = new ProducerBatch(Queue, Ordinal + Math.Min(start, 1), compression, CreatedAt)
            {
                IsClosed = true, AttemptCount = AttemptCount, MayBeWritten = MayBeWritten, RetryAt = retryAt, LastFailure = LastFailure, _deliveries = _deliveries[start..(start + count)],
            };
            for (int i = start; i < start + count; i++)
            {
                part._builder.Append(records[i].Timestamp, records[i].Key, records[i].Value, records[i].Headers);
                part.RecordByteCount += byteCounts[i];
            }

            part.RecordCount = count;
            if (HasSequence)
            {
                part.AssignSequence(Identity, Sequence.Add(BaseSequence, start));
            }

            return part;
        }
    }
}
