using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Where a transactional producer stands.</summary>
internal enum TransactionPhase
{
    /// <summary>Before <see cref="KafkaProducer.InitTransactionsAsync"/> has succeeded.</summary>
    New,

    /// <summary>Between transactions.</summary>
    Ready,

    /// <summary>Records and offsets join.</summary>
    Open,

    /// <summary>Something of it has failed: it can be aborted and nothing else.</summary>
    MustAbort,

    /// <summary>A commit is under way; nothing joins any more.</summary>
    Committing,

    /// <summary>An abort is under way; nothing joins any more.</summary>
    Aborting,

    /// <summary>The producer is of no more use.</summary>
    Dead,
}

/// <summary>
/// The transaction of one producer as a synchronous state machine: what may join it, which partitions and groups its coordinator knows, and how it may end. Guarded by the
/// producer's lock.
/// </summary>
/// <remarks>
/// <code>
/// New --Init--> Ready --Begin--> Open --Commit--> Committing --> Ready
///                                 |  |                |
///                                 |  +--a failure--> MustAbort --Abort--> Aborting --> Ready
///                                 +--------------------Abort-----------------^
/// any --fenced, fatal--> Dead
/// </code>
/// With transactions of version 2 (KIP-890) partitions and groups join by being written to, and each end of a transaction brings the next epoch. With version 1 the coordinator is told before.
/// </remarks>
internal sealed class TransactionState(string transactionalId)
{
    private readonly HashSet<TopicPartition> _partitions = [];
    private readonly HashSet<TopicPartition> _wanted = [];
    private readonly HashSet<string> _groups = [];
    private HashSet<TopicPartition>? _beingAdded;
    private bool _mayBeKnown;

    public TransactionPhase Phase { get; private set; } = TransactionPhase.New;

    public ProducerIdentity Identity { get; private set; } = ProducerIdentity.None;

    /// <summary>Why the transaction has to be aborted, or the producer is dead.</summary>
    public KafkaException? Failure { get; private set; }

    /// <summary>Which transaction of the producer the open one is, or the last one was.</summary>
    public long Ordinal { get; private set; }

    /// <summary>Whether this transaction is of version 2. Does not change while one is open.</summary>
    public bool IsVersion2 { get; private set; }

    /// <summary>Whether the sequences of some partition cannot go on: before the next transaction the epoch has to rise.</summary>
    public bool NeedsNewEpoch { get; private set; }

    /// <summary>Whether something has joined, so that the coordinator has to know of the transaction.</summary>
    public bool IsKnownToCoordinator => _partitions.Count > 0 || _groups.Count > 0;

    /// <summary>Whether the coordinator may know of the transaction, so that it has to be told of the end: also where it was asked to add something, and its answer was lost.</summary>
    public bool MayBeKnownToCoordinator => IsKnownToCoordinator || _mayBeKnown || _beingAdded is not null;

    /// <summary>Whether what is on its way into the transaction may still be asked for.</summary>
    public bool Joins => Phase is TransactionPhase.Open or TransactionPhase.Committing;

    /// <summary>The coordinator gave an identity, at the beginning or anew.</summary>
    public void SetIdentity(ProducerIdentity identity)
    {
        Identity = identity;
        NeedsNewEpoch = false;
        Phase = TransactionPhase.Ready;
    }

    public void Begin(bool isVersion2)
    {
        ThrowIfDead();
        ThrowUnless(Phase == TransactionPhase.Ready, "begin a transaction");
        IsVersion2 = isVersion2;
        Ordinal++;
        Phase = TransactionPhase.Open;
    }

    /// <summary>Whether a record or an offset may join.</summary>
    public void ThrowIfNotOpen(string what)
    {
        ThrowIfDead();
        if (Phase == TransactionPhase.MustAbort)
        {
            throw Abortable($"{what} cannot join the transaction");
        }

        ThrowUnless(Phase == TransactionPhase.Open, what == "A record" ? "produce a record" : "send offsets");
    }

    /// <summary>Whether a record may join that was produced in this transaction, and whose serialiser was waited for. A commit has waited for it, too.</summary>
    public void ThrowIfOver(long ordinal)
    {
        ThrowIfDead();
        if (ordinal == Ordinal && Phase == TransactionPhase.MustAbort)
        {
            throw Abortable("A record cannot join the transaction");
        }

        if (ordinal != Ordinal || !Joins)
        {
            throw new KafkaTransactionAbortableException(
                $"The transaction of producer '{transactionalId}' was aborted while one of its records waited for its serialiser. The record is not part of any transaction.", default);
        }
    }

    /// <summary>Whether records of a partition may leave. Where the coordinator does not know of the partition, it is noted for <see cref="TakeWanted"/>.</summary>
    public bool MaySend(TopicPartition partition)
    {
        if (!Joins)
        {
            return false;
        }

        if (IsVersion2)
        {
            _partitions.Add(partition);
            return true;
        }

        if (_partitions.Contains(partition))
        {
            return true;
        }

        if (_beingAdded?.Contains(partition) != true)
        {
            _wanted.Add(partition);
        }

        return false;
    }

    public bool HasWanted => _wanted.Count > 0 && _beingAdded is null;

    /// <summary>The partitions that the coordinator is to be told of, one question at a time; null if there are none.</summary>
    public IReadOnlyCollection<TopicPartition>? TakeWanted()
    {
        if (!HasWanted || !Joins)
        {
            return null;
        }

        _beingAdded = [.. _wanted];
        _wanted.Clear();
        return _beingAdded;
    }

    /// <summary>The question about the partitions that were taken is over.</summary>
    /// <param name="isAdded">Whether the coordinator knows of them now.</param>
    /// <param name="mayBeAdded">Whether it may, although it has not said so.</param>
    public void EndAdding(bool isAdded, bool mayBeAdded)
    {
        if (isAdded && _beingAdded is not null)
        {
            _partitions.UnionWith(_beingAdded);
        }

        _mayBeKnown |= mayBeAdded;
        _beingAdded = null;
    }

    /// <summary>The coordinator was asked to add a group, and may have done it although it has not said so.</summary>
    public void NotePerhapsKnown() => _mayBeKnown = true;

    public bool Knows(string groupId) => _groups.Contains(groupId);

    /// <summary>The coordinator knows, or is about to know, of a group's offsets.</summary>
    public void Add(string groupId) => _groups.Add(groupId);

    /// <summary>Nothing joins any more.</summary>
    public void BeginCommit()
    {
        ThrowIfDead();
        if (Phase == TransactionPhase.MustAbort)
        {
            throw Abortable("The transaction cannot be committed");
        }

        ThrowUnless(Phase == TransactionPhase.Open, "commit");
        Phase = TransactionPhase.Committing;
    }

    /// <summary>Nothing joins any more, and nothing that waits is sent.</summary>
    public void BeginAbort()
    {
        ThrowIfDead();
        ThrowUnless(Phase is TransactionPhase.Open or TransactionPhase.MustAbort, "abort");
        Phase = TransactionPhase.Aborting;
    }

    /// <summary>The transaction has ended as it should.</summary>
    /// <param name="next">The identity for the next one; null if it goes on with the present one.</param>
    public void End(ProducerIdentity? next)
    {
        _partitions.Clear();
        _wanted.Clear();
        _groups.Clear();
        _beingAdded = null;
        _mayBeKnown = false;
        Failure = null;
        if (next is { } identity)
        {
            SetIdentity(identity);
        }

        Phase = TransactionPhase.Ready;
    }

    /// <summary>Something of the transaction failed.</summary>
    public void Fail(KafkaException cause, bool needsNewEpoch)
    {
        NeedsNewEpoch |= needsNewEpoch;
        if (Joins)
        {
            Failure = cause;
            Phase = TransactionPhase.MustAbort;
        }
    }

    /// <summary>The end of the producer. The first cause counts.</summary>
    public void Kill(KafkaException cause)
    {
        if (Phase != TransactionPhase.Dead)
        {
            Failure = cause;
            Phase = TransactionPhase.Dead;
        }
    }

    public void ThrowIfDead()
    {
        if (Phase == TransactionPhase.Dead)
        {
            throw Dead();
        }
    }

    public KafkaTransactionAbortableException Abortable(string what) => new(
        $"{what} (producer '{transactionalId}'): {Failure?.Message} {AfterAbort}", Failure?.ErrorCode ?? default, Failure);

    /// <summary>Leaders answer a producer whose epoch is over in the same way, whether it was fenced or the coordinator has ended its transaction: the coordinator tells which (KIP-588).</summary>
    private string AfterAbort => Failure?.ErrorCode == Protocol.ErrorCode.InvalidProducerEpoch
        ? "Abort it: if another producer has the transactional id by now, the abort says so; otherwise this one can be used for the next transaction."
        : "Abort it; the producer can be used for the next one.";

    /// <summary>A failure anew for each who asks: exceptions are not shared by those who throw them.</summary>
    public KafkaException Dead() => Failure is KafkaProducerFencedException fenced
        ? new KafkaProducerFencedException(fenced.Message, fenced.ErrorCode)
        : new KafkaTransactionFatalException(Failure!.Message, Failure.ErrorCode, Failure.InnerException);

    private void ThrowUnless([DoesNotReturnIf(false)] bool isAllowed, string what)
    {
        if (!isAllowed)
        {
            throw new InvalidOperationException($"Producer '{transactionalId}' cannot {what} now: {Explain(Phase)}");
        }
    }

    private static string Explain(TransactionPhase phase) => phase switch
    {
        TransactionPhase.New => $"call {nameof(KafkaProducer.InitTransactionsAsync)} first.",
        TransactionPhase.Ready => $"no transaction is open; call {nameof(KafkaProducer.BeginTransaction)} first.",
        TransactionPhase.Open => "a transaction is open; commit or abort it first.",
        TransactionPhase.MustAbort => $"the transaction has failed; call {nameof(KafkaProducer.AbortTransactionAsync)}.",
        TransactionPhase.Committing => $"a commit is under way; await {nameof(KafkaProducer.CommitTransactionAsync)}.",
        TransactionPhase.Aborting => $"an abort is under way; await {nameof(KafkaProducer.AbortTransactionAsync)}.",
        _ => "it is of no more use.",
    };
}
