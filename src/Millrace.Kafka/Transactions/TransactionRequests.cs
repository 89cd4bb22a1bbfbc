using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Asks the coordinators of a transaction, again and again until an answer settles the question.</summary>
internal sealed class TransactionRequests(
    ClientContext context, ConnectionPool pool, MetadataCache metadata, string transactionalId, TimeSpan transactionTimeout) : IDisposable
{
    private const string VersionFeature = "transaction.version";
    private const short FirstVersion2Level = 2;

    /// <summary>The newest versions whose meaning is that of transactions of version 1.</summary>
    private const short NewestEndOfVersion1 = 4;
    private const short NewestCommitOfVersion1 = 4;

    /// <summary>The transaction before is being finished, which takes the coordinator some milliseconds.</summary>
    private static readonly TimeSpan ConcurrentPause = TimeSpan.FromMilliseconds(20);

    private readonly ILogger _logger = context.Loggers.CreateLogger<KafkaProducer>();
    private readonly CoordinatorLocator _coordinator = new(context, pool, metadata, transactionalId, CoordinatorKind.Transaction);
    private readonly Dictionary<string, CoordinatorLocator> _groupCoordinators = [];
    private readonly CancellationTokenSource _stop = new();
    private int _isVersion2;
    private Problem? _putOff;

    /// <summary>Why a question is asked again.</summary>
    public sealed record Problem(ErrorCode ErrorCode, string Text);

    /// <summary>An answer that settles a question, and what it means.</summary>
    /// <param name="Verdict">What it means.</param>
    /// <param name="ErrorCode">The answer's error; of a question that was given up, the last one.</param>
    /// <param name="Answer">What was asked for, if the verdict is <see cref="TransactionVerdict.Done"/>.</param>
    /// <param name="Where">Who answered what, for people.</param>
    /// <param name="MayBeDone">Whether an attempt that was not refused, and whose answer was lost, may have been carried out.</param>
    public readonly record struct Outcome<T>(TransactionVerdict Verdict, ErrorCode ErrorCode, T Answer, string Where, bool MayBeDone = false);

    /// <summary>How long something that joins a transaction is asked for: as long as the transaction can be committed.</summary>
    /// <param name="IsWanted">Looked at before each attempt.</param>
    /// <param name="Ended">Ends the pause between two attempts as well, and the way to the coordinator; but not an attempt that is under way.</param>
    public readonly record struct Joining(Func<bool> IsWanted, CancellationToken Ended);

    /// <summary>Whether the coordinator that answered last takes transactions of version 2.</summary>
    public bool IsVersion2 => Volatile.Read(ref _isVersion2) != 0;

    /// <summary>Why the question that was asked last is asked again; null where its answer settled it.</summary>
    public Problem? PutOff => Volatile.Read(ref _putOff);

    /// <summary>A producer id and epoch; whoever had the transactional id before is fenced, and what it left open is aborted.</summary>
    /// <param name="present">What the producer has and wants renewed (KIP-360); or none.</param>
    public Task<Outcome<ProducerIdentity>> InitAsync(ProducerIdentity present)
    {
        const short firstRenewingVersion = 3;
        return AskAsync(InitProducerIdRequest.Api, _coordinator, async (connection, cancellationToken) =>
        {
            short version = connection.VersionOf(InitProducerIdRequest.Api);
            bool renews = version >= firstRenewingVersion && !present.IsNone;
            InitProducerIdResponse response = await connection.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(
                new InitProducerIdRequest
                {
                    TransactionalId = transactionalId,
                    TransactionTimeoutMilliseconds = (int)transactionTimeout.TotalMilliseconds,
                    ProducerId = renews ? present.Id : ProducerIdentity.None.Id,
                    ProducerEpoch = renews ? present.Epoch : ProducerIdentity.None.Epoch,
                },
                context.Settings.RequestTimeout,
                cancellationToken,
                version);
            return (response.ErrorCode, new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
        });
    }

    public Task<Outcome<bool>> AddPartitionsAsync(ProducerIdentity identity, IReadOnlyCollection<TopicPartition> partitions, Joining joining)
    {
        var request = new AddPartitionsToTxnRequest
        {
            TransactionalId = transactionalId,
            ProducerId = identity.Id,
            ProducerEpoch = identity.Epoch,
            Topics = [.. partitions.GroupBy(static partition => partition.Topic).Select(static topic => new AddPartitionsToTxnTopic
            {
                Name = topic.Key,
                Partitions = [.. topic.Select(static partition => partition.Partition)],
            })],
        };
        return AskAsync(AddPartitionsToTxnRequest.Api, _coordinator, async (connection, cancellationToken) =>
        {
            AddPartitionsToTxnResponse response = await connection.SendAsync<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(
                request, context.Settings.RequestTimeout, cancellationToken);
            return (Worst(connection.Address, AddPartitionsToTxnRequest.Api, partitions, response.ResultsByTopic.SelectMany(static topic =>
                topic.ResultsByPartition.Select(partition => (new TopicPartition(topic.Name, partition.Index), partition.ErrorCode)))), true);
        }, joining);
    }

    public Task<Outcome<bool>> AddOffsetsAsync(ProducerIdentity identity, string groupId, Joining joining) =>
        AskAsync(AddOffsetsToTxnRequest.Api, _coordinator, async (connection, cancellationToken) =>
        {
            AddOffsetsToTxnResponse response = await connection.SendAsync<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(
                new AddOffsetsToTxnRequest { TransactionalId = transactionalId, ProducerId = identity.Id, ProducerEpoch = identity.Epoch, GroupId = groupId },
                context.Settings.RequestTimeout,
                cancellationToken);
            return (response.ErrorCode, true);
        }, joining);

    public Task<Outcome<bool>> CommitOffsetsAsync(
        ProducerIdentity identity, IReadOnlyCollection<TopicPartitionOffset> offsets, ConsumerGroupMetadata group, bool isVersion2, Joining joining)
    {
        const short firstFencedVersion = 3;
        var request = new TxnOffsetCommitRequest
        {
            TransactionalId = transactionalId,
            GroupId = group.GroupId,
            ProducerId = identity.Id,
            ProducerEpoch = identity.Epoch,
            GenerationId = group.GenerationId,
            MemberId = group.MemberId,
            GroupInstanceId = group.GroupInstanceId,
            Topics = [.. offsets.GroupBy(static offset => offset.TopicPartition.Topic).Select(static topic => new TxnOffsetCommitTopic
            {
                Name = topic.Key,
                Partitions = [.. topic.Select(static offset => new TxnOffsetCommitPartition
                {
                    Index = offset.TopicPartition.Partition,
                    CommittedOffset = offset.Offset.Value,
                    CommittedLeaderEpoch = offset.LeaderEpoch,
                    CommittedMetadata = offset.Metadata ?? "",
                })],
            })],
        };
        return AskAsync(TxnOffsetCommitRequest.Api, GroupCoordinator(group.GroupId), async (connection, cancellationToken) =>
        {
            // Without generation and member nobody is fenced who has lost the partitions (KIP-447).
            short newest = connection.VersionOf(TxnOffsetCommitRequest.Api);
            if (newest < firstFencedVersion && group.MemberId.Length > 0)
            {
                throw new KafkaVersionException(
                    $"{connection.Address} is older than Kafka 2.5: it cannot check that member '{group.MemberId}' still has the partitions whose offsets it commits (KIP-447). " +
                    $"Upgrade it; or give each partition a transactional id of its own, and commit with new {nameof(ConsumerGroupMetadata)}(\"{group.GroupId}\", -1, \"\").");
            }

            TxnOffsetCommitResponse response = await connection.SendAsync<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(
                request, context.Settings.RequestTimeout, cancellationToken, isVersion2 ? newest : Math.Min(newest, NewestCommitOfVersion1));
            return (Worst(connection.Address, TxnOffsetCommitRequest.Api, offsets.Select(static offset => offset.TopicPartition), response.Topics.SelectMany(static topic =>
                topic.Partitions.Select(partition => (new TopicPartition(topic.Name, partition.Index), partition.ErrorCode)))), true);
        }, joining);
    }

    /// <summary>Ends the transaction. The identity of the answer is none where the present one stays.</summary>
    public Task<Outcome<ProducerIdentity>> EndAsync(ProducerIdentity identity, bool isCommit, bool isVersion2) =>
        AskAsync(EndTxnRequest.Api, _coordinator, async (connection, cancellationToken) =>
        {
            short newest = connection.VersionOf(EndTxnRequest.Api, isVersion2 ? (short)(NewestEndOfVersion1 + 1) : (short)0);
            EndTxnResponse response = await connection.SendAsync<EndTxnRequest, EndTxnResponse>(
                new EndTxnRequest { TransactionalId = transactionalId, ProducerId = identity.Id, ProducerEpoch = identity.Epoch, Committed = isCommit },
                context.Settings.RequestTimeout,
                cancellationToken,
                isVersion2 ? newest : Math.Min(newest, NewestEndOfVersion1));
            return (response.ErrorCode, isVersion2 ? new ProducerIdentity(response.ProducerId, response.ProducerEpoch) : ProducerIdentity.None);
        });

    /// <summary>Ends what is being asked.</summary>
    public Task StopAsync() => _stop.CancelElsewhereAsync();

    public void Dispose() => _stop.Dispose();

    /// <summary>The error that decides: one that a retry does not mend before one that it does.</summary>
    /// <exception cref="KafkaProtocolException">There is none, and the answer has no word of a partition that was asked for: nobody knows whether it has joined.</exception>
    private static ErrorCode Worst(
        BrokerAddress address, ApiDefinition api, IEnumerable<TopicPartition> asked, IEnumerable<(TopicPartition Partition, ErrorCode ErrorCode)> answers)
    {
        HashSet<TopicPartition> unanswered = [.. asked];
        var worst = ErrorCode.None;
        foreach ((TopicPartition partition, ErrorCode error) in answers)
        {
            unanswered.Remove(partition);
            worst = TransactionVerdicts.Of(error) > TransactionVerdicts.Of(worst) ? error : worst;
        }

        return worst != ErrorCode.None || unanswered.Count == 0
            ? worst
            : throw new KafkaProtocolException($"{address} left {unanswered.First()} out of its answer to {api.Key}.");
    }

    private CoordinatorLocator GroupCoordinator(string groupId)
    {
        lock (_groupCoordinators)
        {
            if (!_groupCoordinators.TryGetValue(groupId, out CoordinatorLocator? locator))
            {
                locator = new CoordinatorLocator(context, pool, metadata, groupId, CoordinatorKind.Group);
                _groupCoordinators.Add(groupId, locator);
            }

            return locator;
        }
    }

    /// <summary>What it means that a request could not be made.</summary>
    private TransactionVerdict VerdictOf(KafkaException failure, CoordinatorLocator locator, bool joins) => failure switch
    {
        // Who was asked for the coordinator refuses, in the name of the group for instance.
        KafkaBrokerException => TransactionVerdicts.Of(failure.ErrorCode),

        // The coordinator of the group is too old to take the offsets; that of the transaction can abort it.
        KafkaVersionException when locator != _coordinator => TransactionVerdict.Abortable,

        // What was to join may be part of the transaction or not: it cannot be committed, and an abort covers both.
        KafkaProtocolException when joins => TransactionVerdict.Abortable,
        _ => TransactionVerdict.Fatal,
    };

    /// <summary>Asks until an answer settles the question, or, of what joins a transaction, until nobody wants to know any more.</summary>
    /// <exception cref="KafkaClosedException">The producer was closed.</exception>
    private async Task<Outcome<T>> AskAsync<T>(
        ApiDefinition api,
        CoordinatorLocator locator,
        Func<BrokerConnection, CancellationToken, Task<(ErrorCode ErrorCode, T Answer)>> ask,
        Joining? joining = null)
    {
        using var between = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, joining?.Ended ?? CancellationToken.None);
        bool mayBeDone = false;
        (ErrorCode ErrorCode, string Reason) last = default;
        try
        {
            for (int failureCount = 0; joining?.IsWanted() ?? true;)
            {
                between.Token.ThrowIfCancellationRequested();
                BrokerAddress? coordinator = null;
                bool isAsked = false;
                TimeSpan pause;
                try
                {
                    coordinator = await locator.GetAsync(between.Token);
                    BrokerConnection connection = await pool.GetAsync(coordinator.Value, ConnectionPurpose.General, between.Token);
                    isAsked = true;
                    (ErrorCode error, T answer) = await ask(connection, _stop.Token);
                    if (locator == _coordinator)
                    {
                        Volatile.Write(ref _isVersion2, connection.FeatureLevel(VersionFeature) >= FirstVersion2Level ? 1 : 0);
                    }

                    TransactionVerdict verdict = TransactionVerdicts.Of(error);
                    last = (error, KafkaErrors.Describe(error));
                    if (verdict is not (TransactionVerdict.Retry or TransactionVerdict.RetryElsewhere))
                    {
                        Volatile.Write(ref _putOff, null);
                        return new Outcome<T>(verdict, error, answer, $"{coordinator} answered {api.Key} of producer '{transactionalId}': {last.Reason}", mayBeDone);
                    }

                    if (verdict == TransactionVerdict.RetryElsewhere)
                    {
                        // A coordinator may lose its place while it writes down what it was asked for.
                        mayBeDone = true;
                        locator.Forget(coordinator.Value);
                    }

                    pause = error == ErrorCode.ConcurrentTransactions ? ConcurrentPause : context.RetryBackoff.After(++failureCount);
                }
                catch (KafkaException failure) when (failure.IsTransient)
                {
                    mayBeDone |= isAsked;
                    if (coordinator is { } address)
                    {
                        locator.Forget(address);
                    }

                    last = (failure.ErrorCode, failure.Message);
                    pause = context.RetryBackoff.After(++failureCount);
                }
                catch (KafkaException failure) when (failure is not KafkaClosedException)
                {
                    // An answer that cannot be read is lost, too.
                    mayBeDone |= isAsked && failure is KafkaProtocolException;
                    return new Outcome<T>(VerdictOf(failure, locator, joining is not null), failure.ErrorCode, default!, $"{api.Key} of producer '{transactionalId}' failed: {failure.Message}", mayBeDone);
                }

                Volatile.Write(ref _putOff, new Problem(last.ErrorCode, coordinator is { } where ? $"{where}, asked for {api.Key}: {last.Reason}" : last.Reason));
                LogMessages.TransactionStepRetried(_logger, transactionalId, api.Key, pause, last.Reason);
                await Task.Delay(pause, context.Time, between.Token);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            throw new KafkaClosedException($"Producer '{transactionalId}' was closed before {api.Key} was answered.");
        }
        catch (OperationCanceledException)
        {
            // The transaction is aborted.
        }

        return new Outcome<T>(
            TransactionVerdict.GivenUp, last.ErrorCode, default!, $"{api.Key} of producer '{transactionalId}' was not settled before the transaction was aborted. {last.Reason}", mayBeDone);
    }
}
