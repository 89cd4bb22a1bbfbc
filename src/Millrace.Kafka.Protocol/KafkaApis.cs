namespace Millrace.Kafka.Protocol;

/// <summary>Every API that is defined here, by key.</summary>
public static class KafkaApis
{
    public static IReadOnlyList<ApiDefinition> All { get; } =
    [
        ProduceRequest.Api,
        FetchRequest.Api,
        ListOffsetsRequest.Api,
        MetadataRequest.Api,
        OffsetCommitRequest.Api,
        OffsetFetchRequest.Api,
        FindCoordinatorRequest.Api,
        JoinGroupRequest.Api,
        HeartbeatRequest.Api,
        LeaveGroupRequest.Api,
        SyncGroupRequest.Api,
        DescribeGroupsRequest.Api,
        ListGroupsRequest.Api,
        SaslHandshakeRequest.Api,
        ApiVersionsRequest.Api,
        CreateTopicsRequest.Api,
        DeleteTopicsRequest.Api,
        DeleteRecordsRequest.Api,
        InitProducerIdRequest.Api,
        OffsetForLeaderEpochRequest.Api,
        AddPartitionsToTxnRequest.Api,
        AddOffsetsToTxnRequest.Api,
        EndTxnRequest.Api,
        WriteTxnMarkersRequest.Api,
        TxnOffsetCommitRequest.Api,
        DescribeAclsRequest.Api,
        CreateAclsRequest.Api,
        DeleteAclsRequest.Api,
        DescribeConfigsRequest.Api,
        AlterConfigsRequest.Api,
        DescribeLogDirsRequest.Api,
        SaslAuthenticateRequest.Api,
        CreatePartitionsRequest.Api,
        DeleteGroupsRequest.Api,
        ElectLeadersRequest.Api,
        IncrementalAlterConfigsRequest.Api,
        AlterPartitionReassignmentsRequest.Api,
        ListPartitionReassignmentsRequest.Api,
        AlterReplicaLogDirsRequest.Api,
        DescribeClientQuotasRequest.Api,
        AlterClientQuotasRequest.Api,
        DescribeUserScramCredentialsRequest.Api,
        AlterUserScramCredentialsRequest.Api,
        OffsetDeleteRequest.Api,
        DescribeClusterRequest.Api,
        DescribeProducersRequest.Api,
        DescribeTransactionsRequest.Api,
        ListTransactionsRequest.Api,
        ConsumerGroupHeartbeatRequest.Api,
        ConsumerGroupDescribeRequest.Api,
        DescribeTopicPartitionsRequest.Api,
    ];

    private static readonly ApiDefinition?[] ByKey = IndexByKey();

    /// <summary>The API of a key, or null where the key is not defined here.</summary>
    public static ApiDefinition? Find(ApiKey key) => (ushort)key < ByKey.Length ? ByKey[(ushort)key] : null;

    private static ApiDefinition?[] IndexByKey()
    {
        ApiDefinition?[] byKey = new ApiDefinition?[All.Max(api => (int)api.Key) + 1];
        foreach (ApiDefinition api in All) byKey[(int)api.Key] = api;
        return byKey;
    }
}
