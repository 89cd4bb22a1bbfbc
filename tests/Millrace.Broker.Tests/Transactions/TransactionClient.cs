using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

/// <summary>Which versions of the transaction APIs a client speaks.</summary>
internal enum TransactionProtocol
{
    /// <summary>As librdkafka and Java before 4.0: partitions are added by requests of their own.</summary>
    Classic,

    /// <summary>Transactions version 2 (KIP-890): the broker adds partitions, and epochs rise with each transaction.</summary>
    Implicit,
}

/// <summary>A transactional producer as small as it can be: it knows its id, its epoch and its sequences, and sends what it is told.</summary>
internal sealed class TransactionClient(TestClient client, string transactionalId, TransactionProtocol protocol = TransactionProtocol.Classic)
{
    private readonly Dictionary<TopicPartition, int> _sequences = [];

    public ProducerIdentity Producer { get; set; } = ProducerIdentity.None;

    /// <summary>The same program on a new connection.</summary>
    public TransactionClient On(TestClient connection)
    {
        TransactionClient moved = new(connection, transactionalId, protocol) { Producer = Producer };
        foreach ((TopicPartition partition, int sequence) in _sequences)
        {
            moved._sequences.Add(partition, sequence);
        }

        return moved;
    }

    private bool IsClassic => protocol == TransactionProtocol.Classic;

    public async Task<ErrorCode> InitAsync(int timeoutMilliseconds = 60_000, ProducerIdentity? known = null, short version = 4)
    {
        InitProducerIdRequest request = new() { TransactionalId = transactionalId, TransactionTimeoutMilliseconds = timeoutMilliseconds };
        if (known is { } identity)
        {
            (request.ProducerId, request.ProducerEpoch) = (identity.Id, identity.Epoch);
        }

        InitProducerIdResponse response = await client.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(request, version);
        if (response.ErrorCode == ErrorCode.None)
        {
            Renew(new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
        }

        return response.ErrorCode;
    }

    /// <summary>Tries until the transaction of whoever came before is over.</summary>
    public Task InitUntilDoneAsync(int timeoutMilliseconds = 60_000) => Conditions.BecomesTrueAsync(
        async () =>
        {
            ErrorCode error = await InitAsync(timeoutMilliseconds);
            Assert.True(error is ErrorCode.None or ErrorCode.ConcurrentTransactions, error.ToString());
            return error == ErrorCode.None;
        },
        "the transaction of whoever came before is over");

    public async Task<ErrorCode> AddPartitionsAsync(string topic, int partition = 0, short version = 3)
    {
        AddPartitionsToTxnResponse response = await client.SendAsync<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(
            new AddPartitionsToTxnRequest
            {
                TransactionalId = transactionalId,
                ProducerId = Producer.Id,
                ProducerEpoch = Producer.Epoch,
                Topics = [new AddPartitionsToTxnTopic { Name = topic, Partitions = [partition] }],
            },
            version);
        return response.ResultsByTopic[0].ResultsByPartition[0].ErrorCode;
    }

    /// <summary>Adds the partition where that is the client's to do, and produces.</summary>
    public async Task<ErrorCode> WriteAsync(string topic, string value, int partition = 0)
    {
        ErrorCode added = IsClassic ? await AddPartitionsAsync(topic, partition) : ErrorCode.None;
        return added != ErrorCode.None ? added : await ProduceAsync(topic, partition, value);
    }

    public async Task<ErrorCode> ProduceAsync(string topic, int partition, params string[] values)
    {
        TopicPartition target = new(topic, partition);
        int sequence = _sequences.GetValueOrDefault(target);
        ProducePartitionResponse response = await ProduceAsync(target, Batches.InTransaction(Producer, sequence, values), IsClassic ? (short)9 : (short)12);
        if (response.ErrorCode == ErrorCode.None)
        {
            _sequences[target] = sequence + values.Length;
        }

        return response.ErrorCode;
    }

    public async Task<ProducePartitionResponse> ProduceAsync(TopicPartition target, ReadOnlyMemory<byte> batch, short version)
    {
        ProduceRequest request = TestClientRequests.Produce(target.Topic, batch, target.Partition);
        request.TransactionalId = transactionalId;
        return (await client.SendAsync<ProduceRequest, ProduceResponse>(request, version)).Topics[0].Partitions[0];
    }

    public async Task<ErrorCode> AddOffsetsAsync(string group, short version = 3) =>
        (await client.SendAsync<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(
            new AddOffsetsToTxnRequest { TransactionalId = transactionalId, ProducerId = Producer.Id, ProducerEpoch = Producer.Epoch, GroupId = group }, version)).ErrorCode;

    /// <summary>Adds the group's offsets where that is the client's to do, and commits one.</summary>
    public async Task<ErrorCode> CommitOffsetAsync(
        string group, string topic, long offset, string memberId = "", int generation = -1, string? instanceId = null)
    {
        ErrorCode added = IsClassic ? await AddOffsetsAsync(group) : ErrorCode.None;
        return added != ErrorCode.None ? added : await SendOffsetAsync(group, topic, offset, memberId, generation, instanceId);
    }

    public async Task<ErrorCode> SendOffsetAsync(
        string group, string topic, long offset, string memberId = "", int generation = -1, string? instanceId = null)
    {
        TxnOffsetCommitResponse response = await client.SendAsync<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(
            new TxnOffsetCommitRequest
            {
                TransactionalId = transactionalId,
                GroupId = group,
                ProducerId = Producer.Id,
                ProducerEpoch = Producer.Epoch,
                MemberId = memberId,
                GenerationId = generation,
                GroupInstanceId = instanceId,
                Topics = [new TxnOffsetCommitTopic { Name = topic, Partitions = [new TxnOffsetCommitPartition { CommittedOffset = offset }] }],
            },
            IsClassic ? (short)3 : (short)5);
        return response.Topics[0].Partitions[0].ErrorCode;
    }

    public async Task<ErrorCode> EndAsync(bool isCommit, short? version = null)
    {
        short sent = version ?? (IsClassic ? (short)3 : (short)5);
        EndTxnResponse response = await client.SendAsync<EndTxnRequest, EndTxnResponse>(
            new EndTxnRequest { TransactionalId = transactionalId, ProducerId = Producer.Id, ProducerEpoch = Producer.Epoch, Committed = isCommit }, sent);
        if (response.ErrorCode == ErrorCode.None && sent >= 5)
        {
            Renew(new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
        }

        return response.ErrorCode;
    }

    private void Renew(ProducerIdentity producer)
    {
        Producer = producer;
        _sequences.Clear();
    }
}

/// <summary>Reads as a consumer of committed records does.</summary>
internal static class CommittedRecords
{
    /// <summary>The values of all committed records of a partition, in order.</summary>
    public static async Task<List<string>> ReadCommittedAsync(this TestClient client, string topic, int partition = 0)
    {
        List<string> values = [];
        long offset = 0;
        while (true)
        {
            FetchRequest request = TestClientRequests.Fetch(topic, offset, partition);
            request.IsolationLevel = 1;
            FetchPartitionResponse response = (await client.SendAsync<FetchRequest, FetchResponse>(request, 12)).Topics[0].Partitions[0];
            Assert.Equal(ErrorCode.None, response.ErrorCode);
            ReadOnlyMemory<byte> rest = response.Records.GetValueOrDefault();
            if (rest.IsEmpty)
            {
                return values;
            }

            var aborted = new PriorityQueue<long, long>((response.AbortedTransactions ?? []).Select(static entry => (entry.ProducerId, entry.FirstOffset)));
            offset = Take(rest, aborted, values);
        }
    }

    private static long Take(ReadOnlyMemory<byte> rest, PriorityQueue<long, long> aborted, List<string> values)
    {
        HashSet<long> aborting = [];
        long next = 0;
        while (!rest.IsEmpty)
        {
            RecordBatchHeader header = RecordBatchHeader.Read(rest.Span);
            while (aborted.TryPeek(out long producer, out long first) && first <= header.LastOffset.Value)
            {
                aborting.Add(producer);
                aborted.Dequeue();
            }

            if (header.IsControl)
            {
                aborting.Remove(header.Producer.Id);
            }
            else if (!header.IsTransactional || !aborting.Contains(header.Producer.Id))
            {
                values.AddRange(RecordBatchReader.Read(rest).Select(static record => Encoding.UTF8.GetString(record.Value!.Value.Span)));
            }

            next = header.NextOffset.Value;
            rest = rest[header.TotalByteCount..];
        }

        return next;
    }
}
