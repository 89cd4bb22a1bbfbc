using System.Threading.Channels;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>
/// A cluster of two brokers with one shared log, reached over a network that loses requests, loses answers, answers with errors before and
/// after writing, moves leaders, and carries out requests of connections that are long gone. It keeps Kafka's rules for sequences.
/// </summary>
internal sealed class FaultyCluster(int seed, int partitionCount, double faultRate) : IKafkaConnector
{
    private const int NodeCount = 2;
    private const int RememberedBatches = 5;

    private readonly Lock _gate = new();
    private readonly Random _random = new(seed);
    private readonly int[] _leaders = new int[partitionCount];
    private readonly int[] _leaderEpochs = new int[partitionCount];
    private readonly List<int>[] _values = [.. Enumerable.Range(0, partitionCount).Select(_ => new List<int>())];
    private readonly Dictionary<(int Partition, long ProducerId), ProducerState> _producers = [];

    public bool IsQuiet { get; set; }

    public int FaultCount { get; private set; }

    public int ProduceRequestCount { get; private set; }

    /// <summary>What the broker does to the next batch, instead of chance: null leaves it alone.</summary>
    public Func<int, RecordBatchHeader, ErrorCode?>? Script { get; set; }

    public IReadOnlyList<int> Values(int partition)
    {
        lock (_gate)
        {
            return [.. _values[partition]];
        }
    }

    /// <summary>Forgets the end of a partition's log and everything about its producers, as an unclean election does.</summary>
    public void LoseFrom(int partition, int count)
    {
        lock (_gate)
        {
            _values[partition].RemoveRange(count, _values[partition].Count - count);
            foreach (ProducerState state in _producers.Where(pair => pair.Key.Partition == partition).Select(pair => pair.Value))
            {
                state.Recent.RemoveAll(batch => batch.BaseOffset >= count);
            }
        }
    }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        if (Happens())
        {
            throw new KafkaConnectionException("The network does not let you.");
        }

        return new ValueTask<IKafkaTransport>(new Connection(this, address.Port % NodeCount));
    }

    private bool Happens()
    {
        lock (_gate)
        {
            bool happens = !IsQuiet && _random.NextDouble() < faultRate;
            FaultCount += happens ? 1 : 0;
            return happens;
        }
    }

    private IMessage? Handle(int node, RequestHeader header, ReadOnlyMemory<byte> body, out ApiDefinition api)
    {
        switch (header.Key)
        {
            case ApiKey.ApiVersions:
                api = ApiVersionsRequest.Api;
                return new ApiVersionsResponse
                {
                    ApiKeys = [.. KafkaApis.All.Select(item => new ApiVersionRange { Key = item.Key, MinVersion = 0, MaxVersion = item.MaxVersion })],
                };
            case ApiKey.Metadata:
                api = MetadataRequest.Api;
                return Metadata();
            case ApiKey.InitProducerId:
                api = InitProducerIdRequest.Api;
                return Happens()
                    ? new InitProducerIdResponse { ErrorCode = ErrorCode.CoordinatorLoadInProgress }
                    : new InitProducerIdResponse { ProducerId = 1000, ProducerEpoch = 0 };
            case ApiKey.Produce:
                api = ProduceRequest.Api;
                Assert.True(MessageCodec.TryReadRequest(body, header.Version, out ProduceRequest? request, out string? error), error);
                return Produce(node, request);
            default:
                throw new NotSupportedException(header.Key.ToString());
        }
    }

    private MetadataResponse Metadata()
    {
        lock (_gate)
        {
            return new MetadataResponse
            {
                ControllerId = 0,
                Brokers = [.. Enumerable.Range(0, NodeCount).Select(node => new MetadataBroker { NodeId = node, Host = "node", Port = NodeCount + node })],
                Topics =
                [
                    new MetadataTopic
                    {
                        Name = "orders",
                        Partitions = [.. Enumerable.Range(0, partitionCount).Select(partition => new MetadataPartition
                        {
                            Index = partition, LeaderId = _leaders[partition], LeaderEpoch = _leaderEpochs[partition],
                        })],
                    },
                ],
            };
        }
    }

    private ProduceResponse Produce(int node, ProduceRequest request)
    {
        lock (_gate)
        {
            ProduceRequestCount++;
            var topic = new ProduceTopicResponse { Name = "orders" };
            foreach (ProducePartition partition in request.Topics.Single().Partitions)
            {
                (ErrorCode error, long offset) = Judge(node, partition);
                topic.Partitions.Add(new ProducePartitionResponse { Index = partition.Index, ErrorCode = error, BaseOffset = error == ErrorCode.None ? offset : -1 });
            }

            return new ProduceResponse { Topics = [topic] };
        }
    }

    private (ErrorCode Error, long Offset) Judge(int node, ProducePartition partition)
    {
        if (_leaders[partition.Index] != node)
        {
            return (ErrorCode.NotLeaderOrFollower, -1);
        }

        Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(partition.Records!.Value.Span, out RecordBatchHeader scripted));
        if (Script?.Invoke(partition.Index, scripted) is { } scriptedError)
        {
            return (scriptedError, -1);
        }

        int choice = Happens() ? _random.Next(5) : -1;
        switch (choice)
        {
            case 0:
                _leaders[partition.Index] = 1 - node;
                _leaderEpochs[partition.Index]++;
                return (ErrorCode.NotLeaderOrFollower, -1);
            case 1:
                return (ErrorCode.NotEnoughReplicas, -1);
        }

        (ErrorCode error, long offset) = Append(partition.Index, partition.Records!.Value);
        return error != ErrorCode.None ? (error, offset) : choice switch
        {
            2 => (ErrorCode.RequestTimedOut, -1),
            3 => (ErrorCode.NotEnoughReplicasAfterAppend, -1),
            4 => (ErrorCode.NotLeaderOrFollower, -1),
            _ => (error, offset),
        };
    }

    private (ErrorCode Error, long Offset) Append(int partition, ReadOnlyMemory<byte> bytes)
    {
        RecordBatchHeader header = RecordBatchHeader.Read(bytes.Span);
        List<int> log = _values[partition];
        if (!header.Producer.IsNone)
        {
            if (!_producers.TryGetValue((partition, header.Producer.Id), out ProducerState? state))
            {
                _producers.Add((partition, header.Producer.Id), state = new ProducerState());
            }

            if (header.Producer.Epoch < state.Epoch)
            {
                return (ErrorCode.InvalidProducerEpoch, -1);
            }

            if (header.Producer.Epoch > state.Epoch && state.Recent.Count > 0)
            {
                if (header.BaseSequence != 0)
                {
                    return (ErrorCode.OutOfOrderSequenceNumber, -1);
                }

                state.Recent.Clear();
            }

            state.Epoch = header.Producer.Epoch;

            int known = state.Recent.FindIndex(batch => batch.BaseSequence == header.BaseSequence);
            if (known >= 0)
            {
                return (ErrorCode.None, state.Recent[known].BaseOffset);
            }

            // Of a producer that the partition knows nothing of, any sequence is a beginning.
            int expected = state.Recent.Count == 0 ? header.BaseSequence : Sequence.Add(state.Recent[^1].BaseSequence, state.Recent[^1].Count);
            if (header.BaseSequence != expected)
            {
                return (header.BaseSequence < expected ? ErrorCode.DuplicateSequenceNumber : ErrorCode.OutOfOrderSequenceNumber, -1);
            }

            state.Recent.Add((header.BaseSequence, header.RecordCount, log.Count));
            if (state.Recent.Count > RememberedBatches)
            {
                state.Recent.RemoveAt(0);
            }
        }

        int offset = log.Count;
        log.AddRange(RecordBatchReader.Read(bytes).Select(record => BitConverter.ToInt32(record.Value!.Value.Span)));
        return (ErrorCode.None, offset);
    }

    private sealed class ProducerState
    {
        public short Epoch { get; set; }

        public List<(int BaseSequence, int Count, long BaseOffset)> Recent { get; } = [];
    }

    /// <summary>Requests are handled in order by a loop that outlives the connection: what was sent may still be carried out.</summary>
    private sealed class Connection : IKafkaTransport
    {
        private readonly FaultyCluster _cluster;
        private readonly int _node;
        private readonly Channel<FrameBuffer> _requests = Channel.CreateUnbounded<FrameBuffer>();
        private readonly Channel<FrameBuffer> _responses = Channel.CreateUnbounded<FrameBuffer>();

        public Connection(FaultyCluster cluster, int node)
        {
            _cluster = cluster;
            _node = node;
            _ = ServeAsync();
        }

        public ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            if (_requests.Writer.TryWrite(frame))
            {
                return ValueTask.CompletedTask;
            }

            throw new KafkaConnectionException("The network is gone.");
        }

        public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
        {
            try
            {
                return await _responses.Reader.ReadAsync(cancellationToken);
            }
            catch (ChannelClosedException)
            {
                throw new KafkaConnectionException("The network is gone.");
            }
        }

        public ValueTask DisposeAsync()
        {
            _requests.Writer.TryComplete();
            return ValueTask.CompletedTask;
        }

        private async Task ServeAsync()
        {
            await foreach (FrameBuffer frame in _requests.Reader.ReadAllAsync())
            {
                await Task.Yield();
                if (_cluster.Happens())
                {
                    // The connection is gone for the client; the broker goes on with what it has got.
                    _responses.Writer.TryComplete();
                    // Real time: what the broker still gets done while the client believes it gone.
                    await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System);
                    continue;
                }

                Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
                IMessage? response = _cluster.Handle(_node, header, frame.Payload[bodyStart..], out ApiDefinition api);
                if (_cluster.Happens())
                {
                    _responses.Writer.TryComplete();
                }

                _responses.Writer.TryWrite(MessageCodec.WriteResponse(response!, api, header.Version, header.CorrelationId));
            }

            _responses.Writer.TryComplete();
        }
    }
}
