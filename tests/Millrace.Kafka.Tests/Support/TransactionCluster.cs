using System.Collections.Concurrent;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>
/// One broker that coordinates one transactional id by the rules of transactions of version 1, as Kafka before 4 does: an end of what has not begun is INVALID_TXN_STATE. What it answers to who
/// wants to join is the test's.
/// </summary>
internal sealed class TransactionCluster : IKafkaConnector
{
    private static readonly BrokerAddress Address = new("node", 1);

    private readonly Lock _gate = new();
    private readonly List<string> _log = [];
    private Status _status = Status.Empty;
    private short _epoch = -1;

    private enum Status
    {
        Empty,
        Ongoing,
        CompleteCommit,
        CompleteAbort,
    }

    /// <summary>What becomes of a request: it is answered so, and it is carried out where the answer is no error; or the connection breaks, after it was carried out or before.</summary>
    internal readonly record struct Fate(ErrorCode Error, bool IsDone, bool IsAnswered)
    {
        public static Fate Done => new(ErrorCode.None, IsDone: true, IsAnswered: true);

        public static Fate Refused(ErrorCode error) => new(error, IsDone: false, IsAnswered: true);

        public static Fate Lost(bool isDone) => new(ErrorCode.None, isDone, IsAnswered: false);
    }

    /// <summary>What becomes of AddPartitionsToTxn, AddOffsetsToTxn and TxnOffsetCommit.</summary>
    public Func<ApiKey, Task<Fate>> OnJoin { get; set; } = _ => Task.FromResult(Fate.Done);

    /// <summary>What becomes of EndTxn.</summary>
    public Func<Fate> OnEnd { get; set; } = () => Fate.Done;

    /// <summary>Whether the last transaction was committed.</summary>
    public bool IsCommitted
    {
        get
        {
            lock (_gate)
            {
                return _status == Status.CompleteCommit;
            }
        }
    }

    /// <summary>What who asks for the coordinator of a group is answered.</summary>
    public ErrorCode GroupError { get; set; }

    /// <summary>Whether the answers to AddPartitionsToTxn and TxnOffsetCommit have no word of a partition.</summary>
    public Func<TopicPartition, bool> LeavesOut { get; set; } = static _ => false;

    /// <summary>The offsets that came in TxnOffsetCommit, in order.</summary>
    public ConcurrentQueue<TopicPartitionOffset> Offsets { get; } = [];

    /// <summary>The newest version of TxnOffsetCommit.</summary>
    public short NewestOffsetCommit { get; set; } = TxnOffsetCommitRequest.Api.MaxVersion;

    /// <summary>Whether Produce is answered.</summary>
    public bool AnswersProduce { get; set; } = true;

    /// <summary>What was asked and, for who wants to join, answered, in order.</summary>
    public IReadOnlyList<string> Log
    {
        get
        {
            lock (_gate)
            {
                return [.. _log];
            }
        }
    }

    public int CountOf(string entry) => Log.Count(logged => logged == entry);

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken) => new(new Transport(this));

    private void Note(string entry)
    {
        lock (_gate)
        {
            _log.Add(entry);
        }
    }

    private InitProducerIdResponse Init()
    {
        lock (_gate)
        {
            _status = Status.Empty;
            return new InitProducerIdResponse { ProducerId = 1000, ProducerEpoch = ++_epoch };
        }
    }

    private void Join(string answered)
    {
        lock (_gate)
        {
            _status = Status.Ongoing;
            _log.Add(answered);
        }
    }

    private EndTxnResponse End(EndTxnRequest request)
    {
        lock (_gate)
        {
            (ErrorCode error, _status) = (_status, request.Committed) switch
            {
                (Status.Ongoing, true) => (ErrorCode.None, Status.CompleteCommit),
                (Status.Ongoing, false) => (ErrorCode.None, Status.CompleteAbort),
                (Status.CompleteCommit, true) or (Status.CompleteAbort, false) => (ErrorCode.None, _status),
                _ => (ErrorCode.InvalidTxnState, _status),
            };
            return new EndTxnResponse { ErrorCode = error };
        }
    }

    private sealed class Transport(TransactionCluster cluster) : AnsweringTransport
    {
        public override ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
            ReadOnlyMemory<byte> body = frame.Payload[bodyStart..];
            if (header.Key is not (ApiKey.ApiVersions or ApiKey.Metadata))
            {
                cluster.Note(header.Key.ToString());
            }

            switch (header.Key)
            {
                case ApiKey.ApiVersions:
                    ApiVersionsResponse versions = AllVersions();
                    versions.ApiKeys.Single(static range => range.Key == ApiKey.TxnOffsetCommit).MaxVersion = cluster.NewestOffsetCommit;
                    Answer(ApiVersionsRequest.Api, header, versions);
                    break;
                case ApiKey.Metadata:
                    Answer(MetadataRequest.Api, header, new MetadataResponse
                    {
                        Brokers = [new MetadataBroker { NodeId = 0, Host = Address.Host, Port = Address.Port }],
                        Topics = [new MetadataTopic { Name = "orders", Partitions = [new MetadataPartition { Index = 0, LeaderId = 0 }] }],
                    });
                    break;
                case ApiKey.FindCoordinator:
                    FindCoordinatorRequest find = Read<FindCoordinatorRequest>(body, header);
                    Answer(FindCoordinatorRequest.Api, header, new FindCoordinatorResponse
                    {
                        Coordinators = [.. find.CoordinatorKeys.Select(key => new Coordinator
                        {
                            Key = key,
                            Host = Address.Host,
                            Port = Address.Port,
                            ErrorCode = find.KeyType == (sbyte)CoordinatorKind.Group ? cluster.GroupError : ErrorCode.None,
                        })],
                    });
                    break;
                case ApiKey.InitProducerId:
                    Answer(InitProducerIdRequest.Api, header, cluster.Init());
                    break;
                case ApiKey.AddPartitionsToTxn:
                    AddPartitionsToTxnRequest add = Read<AddPartitionsToTxnRequest>(body, header);
                    _ = JoinAsync(AddPartitionsToTxnRequest.Api, header, code => new AddPartitionsToTxnResponse
                    {
                        ResultsByTopic = [.. add.Topics.Select(topic => new AddPartitionsToTxnTopicResult
                        {
                            Name = topic.Name,
                            ResultsByPartition = [.. topic.Partitions.Where(index => !cluster.LeavesOut(new TopicPartition(topic.Name, index))).Select(index => new AddPartitionsToTxnPartitionResult { Index = index, ErrorCode = code })],
                        })],
                    });
                    break;
                case ApiKey.AddOffsetsToTxn:
                    _ = JoinAsync(AddOffsetsToTxnRequest.Api, header, code => new AddOffsetsToTxnResponse { ErrorCode = code });
                    break;
                case ApiKey.TxnOffsetCommit:
                    TxnOffsetCommitRequest commit = Read<TxnOffsetCommitRequest>(body, header);
                    foreach (TxnOffsetCommitTopic topic in commit.Topics)
                    {
                        topic.Partitions.ForEach(partition =>
                            cluster.Offsets.Enqueue(new TopicPartitionOffset(new TopicPartition(topic.Name, partition.Index), new Offset(partition.CommittedOffset))));
                    }

                    _ = JoinAsync(TxnOffsetCommitRequest.Api, header, code => new TxnOffsetCommitResponse
                    {
                        Topics = [.. commit.Topics.Select(topic => new TxnOffsetCommitTopicResponse
                        {
                            Name = topic.Name,
                            Partitions = [.. topic.Partitions.Where(partition => !cluster.LeavesOut(new TopicPartition(topic.Name, partition.Index)))
                                .Select(partition => new TxnOffsetCommitPartitionResponse { Index = partition.Index, ErrorCode = code })],
                        })],
                    });
                    break;
                case ApiKey.EndTxn:
                    Fate fate = cluster.OnEnd();
                    EndTxnResponse ended = fate.IsDone ? cluster.End(Read<EndTxnRequest>(body, header)) : new EndTxnResponse { ErrorCode = fate.Error };
                    if (fate.IsAnswered)
                    {
                        Answer(EndTxnRequest.Api, header, ended);
                    }
                    else
                    {
                        Close();
                    }

                    break;
                case ApiKey.Produce when cluster.AnswersProduce:
                    ProduceRequest produce = Read<ProduceRequest>(body, header);
                    Answer(ProduceRequest.Api, header, new ProduceResponse
                    {
                        Topics = [.. produce.Topics.Select(topic => new ProduceTopicResponse
                        {
                            Name = topic.Name,
                            Partitions = [.. topic.Partitions.Select(partition => new ProducePartitionResponse { Index = partition.Index })],
                        })],
                    });
                    break;
                case ApiKey.Produce:
                    break;
                default:
                    throw new NotSupportedException(header.Key.ToString());
            }

            return ValueTask.CompletedTask;
        }

        private static T Read<T>(ReadOnlyMemory<byte> body, RequestHeader header)
            where T : class, IRequest, new()
        {
            Assert.True(MessageCodec.TryReadRequest(body, header.Version, out T? request, out string? error), error);
            return request;
        }

        private async Task JoinAsync(ApiDefinition api, RequestHeader header, Func<ErrorCode, IMessage> answer)
        {
            Fate fate = await cluster.OnJoin(api.Key);
            if (fate.IsDone)
            {
                cluster.Join($"{api.Key} done");
            }

            if (fate.IsAnswered)
            {
                Answer(api, header, answer(fate.Error));
            }
            else
            {
                Close();
            }
        }
    }
}
