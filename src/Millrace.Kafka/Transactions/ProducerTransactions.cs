using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// The thin shell around <see cref="TransactionState"/>: asks the coordinators, and tells the state what they said. What was begun goes on when its caller stops waiting, since its
/// outcome has to be known; a second call waits for the same.
/// </summary>
internal sealed class ProducerTransactions : IDisposable
{
    private readonly ClientContext _context;
    private readonly ProducerSettings _settings;
    private readonly RecordAccumulator _accumulator;
    private readonly ProducerSender _sender;
    private readonly TransactionState _state;
    private readonly TransactionRequests _requests;
    private readonly Func<Task> _flush;
    private readonly Lock _gate;
    private readonly ILogger _logger;
    private Task? _init;
    private Task? _commit;
    private Task? _abort;
    private Task _adding = Task.CompletedTask;
    private Task _offsets = Task.CompletedTask;
    private CancellationTokenSource _aborted = new();
    private bool _isClosed;

    public ProducerTransactions(
        ClientContext context,
        ProducerSettings settings,
        RecordAccumulator accumulator,
        ProducerSender sender,
        TransactionState state,
        TransactionRequests requests,
        Func<Task> flush,
        Lock gate)
    {
        _context = context;
        _settings = settings;
        _accumulator = accumulator;
        _sender = sender;
        _state = state;
        _requests = requests;
        _flush = flush;
        _gate = gate;
        _logger = context.Loggers.CreateLogger<KafkaProducer>();
    }

    private string Name => _settings.TransactionalId!;

    private TransactionRequests.Joining Joining => new(Joins, _aborted.Token);

    /// <summary>Whether the open transaction is of version 2 (KIP-890).</summary>
    public bool IsVersion2
    {
        get
        {
            lock (_gate)
            {
                return _state.IsVersion2;
            }
        }
    }

    public Task InitAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _state.ThrowIfDead();
            _init ??= RunInitAsync();
            return WaitAsync(_init, nameof(KafkaProducer.InitTransactionsAsync), cancellationToken);
        }
    }

    public void Begin()
    {
        lock (_gate)
        {
            _state.Begin(_requests.IsVersion2);
            _commit = null;
            _abort = null;
            _aborted.Dispose();
            _aborted = new CancellationTokenSource();
        }
    }

    public Task SendOffsetsAsync(IReadOnlyCollection<TopicPartitionOffset> offsets, ConsumerGroupMetadata group, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _state.ThrowIfNotOpen("Offsets");
            if (offsets.Count == 0)
            {
                return Task.CompletedTask;
            }

            _offsets = RunSendOffsetsAsync(_offsets, [.. offsets], group, Joining);
            return WaitAsync(_offsets, nameof(KafkaProducer.SendOffsetsToTransactionAsync), cancellationToken);
        }
    }

    public Task CommitAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            // What was begun for this transaction, whatever has become of it meanwhile.
            if (_commit is null)
            {
                _state.BeginCommit();
                _commit = RunCommitAsync();
            }

            return WaitAsync(_commit, nameof(KafkaProducer.CommitTransactionAsync), cancellationToken);
        }
    }

    public Task AbortAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            return WaitAsync(BeginAbort(), nameof(KafkaProducer.AbortTransactionAsync), cancellationToken);
        }
    }

    /// <summary>The abort of this transaction, which begins with the first call. Under the lock.</summary>
    private Task BeginAbort()
    {
        if (_abort is null)
        {
            _state.BeginAbort();
            _commit = null;
            _abort = RunAbortAsync();
        }

        return _abort;
    }

    /// <summary>
    /// Aborts what is open, since nobody will commit it, and asks nothing any more. What is under way and waits for records ends with these: <see cref="WhenEndedAsync"/>.
    /// </summary>
    public async Task CloseAsync(CancellationToken cancellationToken)
    {
        Task underWay;
        lock (_gate)
        {
            underWay = _state.Phase switch
            {
                TransactionPhase.Open or TransactionPhase.MustAbort => BeginAbort().WaitAsync(cancellationToken),
                TransactionPhase.Committing => _commit!.WaitAsync(cancellationToken),
                TransactionPhase.Aborting => _abort!.WaitAsync(cancellationToken),
                _ => Task.CompletedTask,
            };
        }

        await underWay.ConfigureAwait(Awaiting.Quietly);
        lock (_gate)
        {
            _isClosed = true;
        }

        await _requests.StopAsync();
    }

    /// <summary>Completes when nothing of this is under way any more, after <see cref="CloseAsync"/> and when all records are answered or failed.</summary>
    public async Task WhenEndedAsync()
    {
        Task[] rest;
        lock (_gate)
        {
            rest = [_init ?? Task.CompletedTask, _adding, _offsets, _commit ?? Task.CompletedTask, _abort ?? Task.CompletedTask];
        }

        await Task.WhenAll(rest).ConfigureAwait(Awaiting.Quietly);
    }

    /// <summary>Batches wait for the coordinator to know of their partitions.</summary>
    public void AddPartitions()
    {
        lock (_gate)
        {
            if (_state.TakeWanted() is { } partitions)
            {
                _adding = RunAddPartitionsAsync(_state.Identity, partitions, Joining);
            }
        }
    }

    public void Dispose()
    {
        _requests.Dispose();
        _aborted.Dispose();
    }

    private bool Joins()
    {
        lock (_gate)
        {
            return _state.Joins;
        }
    }

    private async Task RunInitAsync()
    {
        await _context.BeginAsync();
        TransactionRequests.Outcome<ProducerIdentity> outcome = await _requests.InitAsync(ProducerIdentity.None);
        lock (_gate)
        {
            if (outcome.Verdict == TransactionVerdict.Done)
            {
                LogMessages.ProducerIdentityObtained(_logger, outcome.Answer.Id, outcome.Answer.Epoch);
                _accumulator.Restart(outcome.Answer);
                _state.SetIdentity(outcome.Answer);
                return;
            }

            _state.Kill(Fatal(outcome.Where, outcome.ErrorCode));
            throw _state.Dead();
        }
    }

    private async Task RunAddPartitionsAsync(ProducerIdentity identity, IReadOnlyCollection<TopicPartition> partitions, TransactionRequests.Joining joining)
    {
        await _context.BeginAsync();
        TransactionRequests.Outcome<bool> outcome = await _requests.AddPartitionsAsync(identity, partitions, joining);

        // The judgement comes first: partitions that were refused would be wanted anew before it.
        _ = Judge(outcome, "A partition cannot join the transaction");
        lock (_gate)
        {
            _state.EndAdding(outcome.Verdict == TransactionVerdict.Done, outcome.MayBeDone);
        }

        _sender.Wake();
    }

    private async Task RunSendOffsetsAsync(
        Task before, IReadOnlyCollection<TopicPartitionOffset> offsets, ConsumerGroupMetadata group, TransactionRequests.Joining joining)
    {
        await before.ConfigureAwait(Awaiting.Quietly | ConfigureAwaitOptions.ForceYielding);
        const string what = "Offsets cannot join the transaction";
        ProducerIdentity identity;
        bool isVersion2;
        bool isKnown;
        lock (_gate)
        {
            identity = _state.Identity;
            isVersion2 = _state.IsVersion2;
            isKnown = isVersion2 || _state.Knows(group.GroupId);
        }

        if (!isKnown)
        {
            TransactionRequests.Outcome<bool> added = await _requests.AddOffsetsAsync(identity, group.GroupId, joining);
            if (Judge(added, what) is { } notAdded)
            {
                NotePerhapsKnown(added.MayBeDone);
                throw notAdded;
            }
        }

        lock (_gate)
        {
            _state.Add(group.GroupId);
        }

        TransactionRequests.Outcome<bool> outcome;
        try
        {
            outcome = await _requests.CommitOffsetsAsync(identity, offsets, group.Renew(offsets), isVersion2, joining);
        }
        catch (KafkaGroupFencedException lost)
        {
            outcome = new TransactionRequests.Outcome<bool>(TransactionVerdict.Abortable, lost.ErrorCode, false, lost.Message);
        }

        if (Judge(outcome, what) is { } notSent)
        {
            throw notSent;
        }
    }

    private void NotePerhapsKnown(bool isSo)
    {
        lock (_gate)
        {
            if (isSo)
            {
                _state.NotePerhapsKnown();
            }
        }
    }

    private async Task RunCommitAsync()
    {
        await _context.BeginAsync();
        await _offsets.ConfigureAwait(Awaiting.Quietly);
        await _flush();
        await _adding.ConfigureAwait(Awaiting.Quietly);
        ProducerIdentity identity;
        bool isVersion2;
        lock (_gate)
        {
            _state.ThrowIfDead();

            // The flush may have ended because the close failed what was left.
            if (_isClosed)
            {
                throw new KafkaClosedException(
                    $"Producer '{Name}' was closed before its transaction could be committed. Nothing of it is committed; it is aborted by its time-out, or by the next producer of the id.");
            }

            if (_state.Phase != TransactionPhase.Committing)
            {
                throw _state.Abortable("The transaction cannot be committed");
            }

            if (!_state.MayBeKnownToCoordinator)
            {
                _state.End(next: null);
                return;
            }

            identity = _state.Identity;
            isVersion2 = _state.IsVersion2;
        }

        TransactionRequests.Outcome<ProducerIdentity> outcome = await _requests.EndAsync(identity, isCommit: true, isVersion2);
        if (outcome.MayBeDone)
        {
            outcome = outcome with { Where = $"{outcome.Where} The outcome is unknown: an attempt whose answer was lost may have committed the transaction." };
        }

        if (Judge(outcome, "The transaction cannot be committed") is { } failure)
        {
            throw failure;
        }

        End(outcome.Answer);
    }

    private async Task RunAbortAsync()
    {
        await _context.BeginAsync();
        await _aborted.CancelElsewhereAsync();
        await FailWhatIsUnsentAsync();
        ProducerIdentity identity;
        bool isVersion2;
        bool isKnown;
        bool mayBeKnown;
        lock (_gate)
        {
            _state.ThrowIfDead();
            identity = _state.Identity;
            isVersion2 = _state.IsVersion2;
            isKnown = _state.IsKnownToCoordinator;
            mayBeKnown = _state.MayBeKnownToCoordinator;
        }

        ProducerIdentity next = ProducerIdentity.None;
        bool needsNewEpoch = false;
        if (mayBeKnown)
        {
            TransactionRequests.Outcome<ProducerIdentity> outcome = await _requests.EndAsync(identity, isCommit: false, isVersion2);

            // What the coordinator cannot abort is aborted by the new epoch. And what it has not heard of needs no end, but may still be on its way to it: the new epoch refuses that.
            needsNewEpoch = outcome.Verdict is TransactionVerdict.Abortable or TransactionVerdict.AbortableNewEpoch
                || (!isKnown && outcome.ErrorCode == Protocol.ErrorCode.InvalidTxnState);
            if (!needsNewEpoch && Judge(outcome, "The transaction cannot be aborted") is { } failure)
            {
                throw failure;
            }

            next = needsNewEpoch ? ProducerIdentity.None : outcome.Answer;
        }

        lock (_gate)
        {
            needsNewEpoch |= _state.NeedsNewEpoch && next.IsNone;
        }

        if (needsNewEpoch)
        {
            TransactionRequests.Outcome<ProducerIdentity> renewed = await _requests.InitAsync(identity);
            if (Judge(renewed, "The producer gets no new epoch", isAbortable: false) is { } failure)
            {
                throw failure;
            }

            next = renewed.Answer;
        }

        End(next);
    }

    private async Task FailWhatIsUnsentAsync()
    {
        var effects = new ProducerEffects();
        Task idle;
        lock (_gate)
        {
            _accumulator.AbortUnsent(effects);
            idle = _accumulator.WhenNothingIsUnderWay();
        }

        _sender.Apply(effects);
        await idle;

        // Whatever would still add to the transaction comes before its end, or it could begin another one: the attempt that is under way, and no other after it.
        await _adding.ConfigureAwait(Awaiting.Quietly);
        await _offsets.ConfigureAwait(Awaiting.Quietly);
    }

    private void End(ProducerIdentity next)
    {
        lock (_gate)
        {
            if (next.IsNone)
            {
                _state.End(next: null);
                return;
            }

            _accumulator.Restart(next);
            _state.End(next);
        }
    }

    /// <summary>What an answer does to the transaction; null if nothing.</summary>
    private KafkaException? Judge<T>(TransactionRequests.Outcome<T> outcome, string what, bool isAbortable = true)
    {
        KafkaException failure;
        lock (_gate)
        {
            switch (outcome.Verdict)
            {
                case TransactionVerdict.Done:
                    return null;
                case TransactionVerdict.Abortable or TransactionVerdict.AbortableNewEpoch when isAbortable:
                    _state.Fail(
                        outcome.ErrorCode == ErrorCode.None ? new KafkaProtocolException(outcome.Where) : new KafkaBrokerException(outcome.Where, outcome.ErrorCode),
                        outcome.Verdict == TransactionVerdict.AbortableNewEpoch);
                    LogMessages.TransactionFailed(_logger, Name, outcome.Where);
                    return _state.Phase == TransactionPhase.Dead ? _state.Dead() : _state.Abortable(what);
                case TransactionVerdict.GivenUp:
                    return _state.Phase switch
                    {
                        TransactionPhase.Dead => _state.Dead(),
                        TransactionPhase.MustAbort => _state.Abortable(what),
                        _ => new KafkaTransactionAbortableException($"{what}. {outcome.Where}", outcome.ErrorCode),
                    };
                case TransactionVerdict.Fenced:
                    _state.Kill(new KafkaProducerFencedException(
                        $"{outcome.Where} Another producer has this transactional id by now, or the coordinator has ended the transaction after {nameof(ProducerOptions.TransactionTimeout)} ({_settings.TransactionTimeout}).",
                        outcome.ErrorCode));
                    break;
                default:
                    _state.Kill(Fatal($"{what}. {outcome.Where}", outcome.ErrorCode));
                    break;
            }

            failure = _state.Dead();
        }

        LogMessages.TransactionalProducerDead(_logger, Name, failure.Message);
        _sender.FailAll(failure);
        return failure;
    }

    private static KafkaTransactionFatalException Fatal(string where, Protocol.ErrorCode error) =>
        new($"{where} The producer can do nothing more; close it.", error);

    private async Task WaitAsync(Task task, string call, CancellationToken cancellationToken)
    {
        try
        {
            await task.WaitAsync(_settings.MaxBlock, _context.Time, cancellationToken);
        }
        catch (TimeoutException)
        {
            TransactionRequests.Problem? reason = _requests.PutOff;
            throw new KafkaTimeoutException(
                $"{call} of producer '{Name}' was not finished within {_settings.MaxBlock} ({nameof(ProducerOptions.MaxBlock)}). It goes on; call it again to wait longer." +
                (reason is null ? "" : $" What it waits for: {reason.Text}"),
                reason?.ErrorCode ?? ErrorCode.None);
        }
    }
}
