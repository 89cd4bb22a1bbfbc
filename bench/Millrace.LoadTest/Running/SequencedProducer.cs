using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.LoadTest.Running;

/// <summary>An idempotent producer on one partition, with transactions or without: batches of one size, at most five on their way.</summary>
internal sealed class SequencedProducer : IDisposable
{
    private const int MaxInFlight = 5;
    private const short ProduceVersion = 12;
    private const short EndVersion = 5;
    private const short InitVersion = 4;

    private readonly WireConnection _connection;
    private readonly string _topic;
    private readonly int _partition;
    private readonly string? _transactionalId;
    private readonly byte[] _batch;
    private readonly int _recordCount;
    private ProducerIdentity _identity;
    private int _nextSequence;
    private int _inFlight;

    public SequencedProducer(BrokerProcess broker, string topic, int partition, string? transactionalId, int recordCount)
    {
        _connection = new WireConnection(broker.EndPoint);
        _topic = topic;
        _partition = partition;
        _transactionalId = transactionalId;
        _recordCount = recordCount;
        _batch = Workload.Batch(recordCount, 1024, new ProducerIdentity(0, 0), baseSequence: 0, isTransactional: transactionalId is not null);
        var request = new InitProducerIdRequest { TransactionalId = transactionalId, TransactionTimeoutMilliseconds = 60_000 };
        InitProducerIdResponse response = _connection.Send<InitProducerIdRequest, InitProducerIdResponse>(request, InitVersion);
        Workload.Check(response.ErrorCode);
        _identity = new ProducerIdentity(response.ProducerId, response.ProducerEpoch);
    }

    /// <summary>Sends the next batch, and waits for an answer only where five are on their way.</summary>
    public void Produce()
    {
        if (_inFlight == MaxInFlight)
        {
            ReceiveOne();
        }

        RecordBatch.AssignProducer(_batch, _identity, _nextSequence);
        _nextSequence = Sequence.Add(_nextSequence, _recordCount);
        _connection.SendFrame(_connection.Frame(Workload.Produce(_topic, _partition, _batch, acks: -1, _transactionalId), ProduceVersion));
        _inFlight++;
    }

    /// <summary>Waits for the answers, and commits if there is something to commit: a broker refuses to end what has not begun.</summary>
    public void Commit()
    {
        Flush();
        if (_nextSequence == 0)
        {
            return;
        }

        var request = new EndTxnRequest
        {
            TransactionalId = _transactionalId!,
            ProducerId = _identity.Id,
            ProducerEpoch = _identity.Epoch,
            Committed = true,
        };
        EndTxnResponse response = _connection.Send<EndTxnRequest, EndTxnResponse>(request, EndVersion);
        Workload.Check(response.ErrorCode);

        // Every transaction has an epoch of its own (KIP-890), and sequences begin again in it.
        _identity = new ProducerIdentity(response.ProducerId, response.ProducerEpoch);
        _nextSequence = 0;
    }

    public void Flush()
    {
        while (_inFlight > 0)
        {
            ReceiveOne();
        }
    }

    public void Dispose() => _connection.Dispose();

    private void ReceiveOne()
    {
        ReadOnlyMemory<byte> payload = _connection.ReceiveFrame();
        if (!MessageCodec.TryReadResponse(payload, ProduceRequest.Api, ProduceVersion, out _, out ProduceResponse? response, out string? error))
        {
            throw new InvalidDataException(error);
        }

        Workload.Check(response.Topics[0].Partitions[0].ErrorCode);
        _inFlight--;
    }
}
