using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>
/// Writes to several partitions in transactions, commits offsets in some of them, and commits or aborts. A classic one adds partitions itself; the other lets the broker do so, and
/// its epoch rises with each transaction (KIP-890).
/// </summary>
/// <remarks>
/// A request of a classic one that is still on its way could become part of its next transaction, as with every broker. So it asks for a new epoch wherever one was not answered.
/// </remarks>
/// <param name="groupId">Of the group whose offsets it commits.</param>
internal sealed class TransactionalProducer(BrokerSimulation world, string transactionalId, string groupId, bool isClassic) : BrokerProgram(world)
{
    private const int MaxAttempts = 8;

    private readonly Dictionary<TopicPartition, int> _sequences = [];
    private readonly ModelGroup _group = world.Model.NewGroup(groupId, world.PickPartition());
    private ProducerIdentity _producer = ProducerIdentity.None;

    public override async Task RunAsync()
    {
        while (!World.IsEnding)
        {
            if (!await TryInitAsync())
            {
                await World.PauseAsync();
                continue;
            }

            bool goesOn = true;
            while (goesOn && !World.IsEnding)
            {
                goesOn = await TransactAsync();
            }
        }
    }

    private async Task<bool> TryInitAsync()
    {
        InitProducerIdRequest request = new() { TransactionalId = transactionalId, TransactionTimeoutMilliseconds = World.Pick(5_000, 60_000) };
        if (!_producer.IsNone && World.Chance(30))
        {
            (request.ProducerId, request.ProducerEpoch) = (_producer.Id, _producer.Epoch);
        }

        SimulatedLink link = await LinkAsync();
        InitProducerIdResponse? response = await link.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(request, 4);
        if (response is not { ErrorCode: ErrorCode.None })
        {
            _producer = ProducerIdentity.None;
            return false;
        }

        Renew(new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
        return true;
    }

    private void Renew(ProducerIdentity producer)
    {
        _producer = producer;
        _sequences.Clear();
    }

    /// <summary>False if the producer needs a new epoch.</summary>
    private async Task<bool> TransactAsync()
    {
        ModelTransaction transaction = World.Model.NewTransaction(transactionalId);
        for (int count = 1 + World.Next(3); count > 0; count--)
        {
            TopicPartition partition = World.PickPartition();
            if ((isClassic && !await TryAddAsync(partition)) || !await TryWriteAsync(transaction, partition))
            {
                return false;
            }
        }

        if (World.Chance(40) && !await TryCommitOffsetAsync(transaction))
        {
            return false;
        }

        if (World.Chance(10))
        {
            // It takes its time; or it is gone, and another one takes its place.
            await World.PauseAsync();
            return World.Chance(50) && await EndAsync(transaction, isCommit: true);
        }

        return await EndAsync(transaction, isCommit: World.Chance(75));
    }

    private async Task<bool> TryAddAsync(TopicPartition partition)
    {
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            SimulatedLink link = await LinkAsync();
            AddPartitionsToTxnResponse? response = await link.SendAsync<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(
                new AddPartitionsToTxnRequest
                {
                    TransactionalId = transactionalId,
                    ProducerId = _producer.Id,
                    ProducerEpoch = _producer.Epoch,
                    Topics = [new AddPartitionsToTxnTopic { Name = partition.Topic, Partitions = [partition.Partition] }],
                },
                3);
            ErrorCode? error = response?.ResultsByTopic[0].ResultsByPartition[0].ErrorCode;
            if (error is not (ErrorCode.ConcurrentTransactions or ErrorCode.CoordinatorNotAvailable))
            {
                return error == ErrorCode.None;
            }

            await World.PauseAsync();
        }

        return false;
    }

    private async Task<bool> TryWriteAsync(ModelTransaction transaction, TopicPartition partition)
    {
        ModelPartition known = World.Model[partition];
        int sequence = _sequences.GetValueOrDefault(partition);
        ModelRecord[] records = NewRecords(partition, isForDisk: false, transaction);
        byte[] batch = Build(records, _producer, sequence, isTransactional: true);
        short version = isClassic ? (short)9 : (short)12;
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            SimulatedLink link = await LinkAsync(World.Chance(80) ? 0 : 1);
            ProduceRequest request = Produce(partition, batch, acks: -1, timeoutMilliseconds: 30_000, transactionalId);
            if (World.Chance(isClassic ? 0 : 15))
            {
                World.Delay(later => SendAsync(later, request, version));
            }

            int generation = known.Generation;
            switch (await SendAsync(link, request, version))
            {
                case null:
                    break;
                case { ErrorCode: ErrorCode.None } answer:
                    _sequences[partition] = sequence + records.Length;
                    Acknowledge(transaction, known, records, answer.BaseOffset, generation);
                    return true;
                case { ErrorCode: ErrorCode.NotEnoughReplicas or ErrorCode.KafkaStorageError or ErrorCode.RequestTimedOut }:
                    break;
                default:
                    return false;
            }

            await World.PauseAsync();
        }

        return false;
    }

    private static void Acknowledge(ModelTransaction transaction, ModelPartition known, ModelRecord[] records, long baseOffset, int generation)
    {
        for (int index = 0; index < records.Length; index++)
        {
            Offset offset = new(baseOffset + index);
            known.Acknowledged(records[index], offset, isOnDisk: false, generation);
            transaction.Written.Add(records[index]);
            transaction.KnownOffsets[records[index]] = offset;
        }
    }

    private async Task<bool> TryCommitOffsetAsync(ModelTransaction transaction)
    {
        SimulatedLink link = await LinkAsync();
        if (await EndAsync(link, _group.Partition) is not long end || end <= _group.Furthest)
        {
            return !link.IsLost;
        }

        if (isClassic && (await link.SendAsync<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(
            new AddOffsetsToTxnRequest { TransactionalId = transactionalId, ProducerId = _producer.Id, ProducerEpoch = _producer.Epoch, GroupId = groupId }, 3))
            is not { ErrorCode: ErrorCode.None })
        {
            return false;
        }

        _group.Try(end, transaction);
        TxnOffsetCommitRequest request = new()
        {
            TransactionalId = transactionalId,
            GroupId = groupId,
            ProducerId = _producer.Id,
            ProducerEpoch = _producer.Epoch,
            Topics =
            [
                new TxnOffsetCommitTopic
                {
                    Name = _group.Partition.Topic,
                    Partitions = [new TxnOffsetCommitPartition { Index = _group.Partition.Partition, CommittedOffset = end }],
                },
            ],
        };
        short version = isClassic ? (short)3 : (short)5;
        bool isSentTwice = World.Chance(isClassic ? 0 : 15);
        if (isSentTwice)
        {
            World.Delay(later => later.SendAsync<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(request, version));
        }

        TxnOffsetCommitResponse? response = await link.SendAsync<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(request, version);
        bool isCommitted = response?.Topics[0].Partitions[0].ErrorCode == ErrorCode.None;
        transaction.GroupOffset = isCommitted ? end : null;
        if (response is not null && !isSentTwice)
        {
            _group.Settle(end);
        }

        return isCommitted;
    }

    private async Task<bool> EndAsync(ModelTransaction transaction, bool isCommit)
    {
        transaction.IsCommitAsked |= isCommit;
        EndTxnRequest request = new()
        {
            TransactionalId = transactionalId, ProducerId = _producer.Id, ProducerEpoch = _producer.Epoch, Committed = isCommit,
        };
        short version = isClassic ? (short)3 : (short)5;
        if (World.Chance(isClassic ? 0 : 20))
        {
            World.Delay(later => later.SendAsync<EndTxnRequest, EndTxnResponse>(request, version));
        }

        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            SimulatedLink link = await LinkAsync();
            EndTxnResponse? response = await link.SendAsync<EndTxnRequest, EndTxnResponse>(request, version);
            if (response is { ErrorCode: ErrorCode.None })
            {
                Ended(transaction, isCommit);
                if (!isClassic)
                {
                    Renew(new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
                }

                return !isClassic || attempt == 0;
            }

            if (response is not (null or { ErrorCode: ErrorCode.ConcurrentTransactions or ErrorCode.CoordinatorNotAvailable }))
            {
                if (World.Sabotage == BrokerSabotage.ForgetFencing)
                {
                    Ended(transaction, isCommit);
                }

                return false;
            }

            await World.PauseAsync();
        }

        return false;
    }

    private void Ended(ModelTransaction transaction, bool isCommit)
    {
        transaction.Decide(isCommit ? TransactionFate.Committed : TransactionFate.Aborted, "its end was acknowledged");
        if (isCommit && transaction.GroupOffset is long offset)
        {
            _group.Committed(offset);
        }
    }
}
