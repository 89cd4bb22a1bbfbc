using System.Threading.Tasks.Sources;

namespace Millrace.Kafka;

/// <summary>
/// What a caller of the producer awaits: the acknowledgement of one record, or its admission to the buffer. Pooled: it goes back when its outcome
/// is taken, which is why a <see cref="ValueTask"/> of the producer may be awaited once only, as every one.
/// </summary>
/// <remarks>
/// Two may end it, the producer and the caller's token, and the first one does. An operation that the token ended does not go back to the pool: the
/// batch of its record still knows it.
/// </remarks>
internal sealed class ProduceOperation(ProduceOperationPool pool, KafkaProducer producer)
    : IValueTaskSource<RecordMetadata>, IValueTaskSource, IDeliveryHandler, IThreadPoolWorkItem
{
    private const int Pending = 0;
    private const int EndedByProducer = 1;
    private const int EndedByToken = 2;

    private ManualResetValueTaskSourceCore<RecordMetadata> _core;
    private CancellationTokenRegistration _registration;
    private int _state;
    private bool _isAwaited;
    private bool _isAwaitedInContext;
    private RecordMetadata _result;
    private Exception? _failure;

    public ValueTask<RecordMetadata> Acknowledgement => new(this, _core.Version);

    public ValueTask Admission => new(this, _core.Version);

    /// <summary>
    /// Whether only the admission is awaited. A token then ends it only together with the record: what is in a batch by then is admitted, whenever that is told.
    /// </summary>
    public bool IsAdmission { get; set; }

    /// <summary>The record, as long as it is in no batch. Guarded by the producer's lock.</summary>
    public WaitingRecord? Waiting { get; set; }

    /// <summary>
    /// Has the token end the wait, and the producer take the record back if it is in no batch by then. For the caller who rented the operation, before
    /// it hands out what is awaited.
    /// </summary>
    public void CancelBy(CancellationToken cancellationToken)
    {
        _registration = cancellationToken.UnsafeRegister(static (state, token) => ((ProduceOperation)state!).Cancel(token), this);

        // Who has ended the operation before it could see the registration leaves it to this call; the fence has one of the two see what the other has written.
        Interlocked.MemoryBarrier();
        if (_state != Pending)
        {
            _registration.Unregister();
        }
    }

    public void Complete(in RecordMetadata metadata)
    {
        if (Interlocked.CompareExchange(ref _state, EndedByProducer, Pending) == Pending)
        {
            End(metadata, failure: null);
        }
    }

    public void Fail(Exception failure)
    {
        if (Interlocked.CompareExchange(ref _state, EndedByProducer, Pending) == Pending)
        {
            End(default, failure);
        }
    }

    void IDeliveryHandler.OnDelivered(in DeliveryReport report)
    {
        if (report.Failure is { } failure)
        {
            Fail(failure);
        }
        else
        {
            Complete(new RecordMetadata(report.TopicPartition, report.Offset, report.Timestamp));
        }
    }

    void IThreadPoolWorkItem.Execute() => Publish();

    RecordMetadata IValueTaskSource<RecordMetadata>.GetResult(short token) => TakeResult(token);

    void IValueTaskSource.GetResult(short token) => TakeResult(token);

    ValueTaskSourceStatus IValueTaskSource<RecordMetadata>.GetStatus(short token) => _core.GetStatus(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<RecordMetadata>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        AddContinuation(continuation, state, token, flags);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        AddContinuation(continuation, state, token, flags);

    private void AddContinuation(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        // The source itself sends a continuation to the context that it was added in.
        _isAwaitedInContext = flags.HasFlag(ValueTaskSourceOnCompletedFlags.UseSchedulingContext) && SynchronizationContext.Current is not null;

        // Before the continuation is added: who ends the operation and finds nobody waiting publishes the outcome at once, and then this call
        // runs the continuation elsewhere; the other way round the continuation could run on the producer's own path.
        Volatile.Write(ref _isAwaited, true);
        _core.OnCompleted(continuation, state, token, flags);
    }

    private void Cancel(CancellationToken token)
    {
        bool isTakenBack = producer.TakeBack(this);
        if (IsAdmission && !isTakenBack)
        {
            return;
        }

        if (Interlocked.CompareExchange(ref _state, EndedByToken, Pending) == Pending)
        {
            End(default, new OperationCanceledException(token));
        }
    }

    private void End(in RecordMetadata metadata, Exception? failure)
    {
        _result = metadata;
        _failure = failure;

        // Here already: nobody may come for the outcome, and the token may live as long as the application.
        _registration.Unregister();
        if (Volatile.Read(ref _isAwaited) && !_isAwaitedInContext)
        {
            // Somebody's code follows. As a work item the operation itself is queued, and nothing is allocated.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
        else
        {
            // A continuation that comes at this very moment is sent to the pool by the source, or to the context that it is to run in, which is never here.
            _core.RunContinuationsAsynchronously = true;
            Publish();
        }
    }

    private void Publish()
    {
        if (_failure is { } failure)
        {
            _core.SetException(failure);
        }
        else
        {
            _core.SetResult(_result);
        }
    }

    private RecordMetadata TakeResult(short token)
    {
        // Apart from what gives the operation back: who awaits a call twice is refused, and the operation may be another one's by now.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The outcome of a record is taken before it is there. Await the call, once.");
        }

        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            // Waits for a cancellation that is running: after that nobody but the caller and the batch knows the operation.
            _registration.Dispose();
            if (_state == EndedByProducer)
            {
                Reset();
                pool.Return(this);
            }
        }
    }

    private void Reset()
    {
        _core.Reset();
        _core.RunContinuationsAsynchronously = false;
        _registration = default;
        _isAwaited = false;
        _isAwaitedInContext = false;
        _failure = null;
        _result = default;
        Waiting = null;
        IsAdmission = false;
        _state = Pending;
    }
}

/// <summary>Operations of one producer that are not in use.</summary>
internal sealed class ProduceOperationPool(KafkaProducer producer)
{
    /// <summary>More under way at once than this, and some go to the garbage collector.</summary>
    private const int MaxCount = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly Stack<ProduceOperation> _free = [];

    public ProduceOperation Rent(bool isAdmission = false)
    {
        lock (_gate)
        {
            if (_free.TryPop(out ProduceOperation? operation))
            {
                operation.IsAdmission = isAdmission;
                return operation;
            }
        }

        return new ProduceOperation(this, producer) { IsAdmission = isAdmission };
    }

    public void Return(ProduceOperation operation)
    {
        lock (_gate)
        {
            if (_free.Count < MaxCount)
            {
                _free.Push(operation);
            }
        }
    }
}
