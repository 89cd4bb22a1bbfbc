namespace Millrace.Kafka.Protocol.Tests;

/// <summary>One message type with what is needed to read and write it without knowing its type.</summary>
public sealed record KnownMessage(string Name, short MinVersion, short MaxVersion, short FirstFlexibleVersion, Func<IMessage> Create)
{
    public IEnumerable<short> Versions => Enumerable.Range(MinVersion, MaxVersion - MinVersion + 1).Select(version => (short)version);

    public bool IsFlexible(short version) => version >= FirstFlexibleVersion;

    public byte[] Write(IMessage message, short version)
    {
        var sizer = new MessageSizer(IsFlexible(version));
        message.Describe(ref sizer, version);
        byte[] bytes = new byte[sizer.ByteCount];
        var writer = new MessageWriter(bytes, IsFlexible(version));
        message.Describe(ref writer, version);
        return writer.Position == bytes.Length
            ? bytes
            : throw new InvalidOperationException($"{Name} version {version}: measured {bytes.Length} bytes, wrote {writer.Position}.");
    }

    public IMessage? TryRead(ReadOnlyMemory<byte> bytes, short version, out string? error)
    {
        IMessage message = Create();
        var reader = new MessageReader(bytes, IsFlexible(version));
        message.Describe(ref reader, version);
        reader.ExpectEnd();
        error = reader.Failure;
        return error is null ? message : null;
    }

    public IMessage Read(ReadOnlyMemory<byte> bytes, short version) =>
        TryRead(bytes, version, out string? error) ?? throw new InvalidOperationException($"{Name} version {version}: {error}");

    /// <summary>Writes the whole frame of a request that is read from its body.</summary>
    public Func<byte[], short, int, string, FrameBuffer> Request { get; init; } =
        static (_, _, _, _) => throw new InvalidOperationException("Only requests are framed with a client id.");

    public override string ToString() => Name;
}

/// <summary>Every message that the project defines.</summary>
public static class KnownMessages
{
    public static IReadOnlyList<KnownMessage> All { get; } =
    [
        .. Api<ProduceRequest, ProduceResponse>(),
        .. Api<FetchRequest, FetchResponse>(),
        .. Api<ListOffsetsRequest, ListOffsetsResponse>(),
        .. Api<MetadataRequest, MetadataResponse>(),
        .. Api<OffsetCommitRequest, OffsetCommitResponse>(),
        .. Api<OffsetFetchRequest, OffsetFetchResponse>(),
        .. Api<FindCoordinatorRequest, FindCoordinatorResponse>(),
        .. Api<JoinGroupRequest, JoinGroupResponse>(),
        .. Api<HeartbeatRequest, HeartbeatResponse>(),
        .. Api<LeaveGroupRequest, LeaveGroupResponse>(),
        .. Api<SyncGroupRequest, SyncGroupResponse>(),
        .. Api<DescribeGroupsRequest, DescribeGroupsResponse>(),
        .. Api<ListGroupsRequest, ListGroupsResponse>(),
        .. Api<ApiVersionsRequest, ApiVersionsResponse>(),
        .. Api<CreateTopicsRequest, CreateTopicsResponse>(),
        .. Api<DeleteTopicsRequest, DeleteTopicsResponse>(),
        .. Api<DeleteRecordsRequest, DeleteRecordsResponse>(),
        .. Api<InitProducerIdRequest, InitProducerIdResponse>(),
        .. Api<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>(),
        .. Api<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(),
        .. Api<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(),
        .. Api<EndTxnRequest, EndTxnResponse>(),
        .. Api<WriteTxnMarkersRequest, WriteTxnMarkersResponse>(),
        .. Api<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(),
        .. Api<DescribeAclsRequest, DescribeAclsResponse>(),
        .. Api<CreateAclsRequest, CreateAclsResponse>(),
        .. Api<DeleteAclsRequest, DeleteAclsResponse>(),
        .. Api<DescribeProducersRequest, DescribeProducersResponse>(),
        .. Api<DescribeTransactionsRequest, DescribeTransactionsResponse>(),
        .. Api<ListTransactionsRequest, ListTransactionsResponse>(),
        .. Api<DescribeConfigsRequest, DescribeConfigsResponse>(),
        .. Api<AlterConfigsRequest, AlterConfigsResponse>(),
        .. Api<DescribeLogDirsRequest, DescribeLogDirsResponse>(),
        .. Api<CreatePartitionsRequest, CreatePartitionsResponse>(),
        .. Api<DeleteGroupsRequest, DeleteGroupsResponse>(),
        .. Api<ElectLeadersRequest, ElectLeadersResponse>(),
        .. Api<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(),
        .. Api<AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse>(),
        .. Api<AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse>(),
        .. Api<DescribeClientQuotasRequest, DescribeClientQuotasResponse>(),
        .. Api<AlterClientQuotasRequest, AlterClientQuotasResponse>(),
        .. Api<DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse>(),
        .. Api<AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse>(),
        .. Api<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>(),
        .. Api<OffsetDeleteRequest, OffsetDeleteResponse>(),
        .. Api<DescribeClusterRequest, DescribeClusterResponse>(),
        .. Api<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse>(),
        .. Api<SaslHandshakeRequest, SaslHandshakeResponse>(),
        .. Api<SaslAuthenticateRequest, SaslAuthenticateResponse>(),
        .. Api<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse>(),
        .. Api<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse>(),
        Data<ConsumerProtocolSubscription>(),
        Data<ConsumerProtocolAssignment>(),
        Data<OffsetCommitKey>(),
        Data<OffsetCommitValue>(),
        Data<GroupMetadataKey>(),
        Data<GroupMetadataValue>(),
        Data<TransactionLogKey>(),
        Data<TransactionLogValue>(),
    ];

    public static KnownMessage Named(string name) => All.Single(message => string.Equals(message.Name, name, StringComparison.Ordinal));

    private static KnownMessage[] Api<TRequest, TResponse>()
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        ApiDefinition api = TRequest.Api;
        return
        [
            new(typeof(TRequest).Name, api.MinVersion, api.MaxVersion, api.FirstFlexibleVersion, static () => new TRequest())
            {
                Request = static (body, version, correlationId, clientId) =>
                    MessageCodec.TryRead<TRequest>(body, TRequest.Api, version, out TRequest? request, out string? error)
                        ? MessageCodec.WriteRequest(request, version, correlationId, clientId)
                        : throw new InvalidOperationException(error),
            },
            new(typeof(TResponse).Name, api.MinVersion, api.MaxVersion, api.FirstFlexibleVersion, static () => new TResponse()),
        ];
    }

    private static KnownMessage Data<TData>()
        where TData : IVersionedData, new() =>
        new(typeof(TData).Name, TData.MinVersion, TData.MaxVersion, TData.FirstFlexibleVersion, static () => new TData());
}
