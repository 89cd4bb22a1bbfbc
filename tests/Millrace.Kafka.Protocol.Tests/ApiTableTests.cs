namespace Millrace.Kafka.Protocol.Tests;

/// <summary>Versions and header versions, typed here once more from Kafka's definitions and KIP-482.</summary>
public class ApiTableTests
{
    [Theory]
    [InlineData(ApiKey.Produce, 0, 13, 9)]
    [InlineData(ApiKey.Fetch, 1, 17, 12)]
    [InlineData(ApiKey.ListOffsets, 2, 11, 6)]
    [InlineData(ApiKey.Metadata, 3, 13, 9)]
    [InlineData(ApiKey.OffsetCommit, 8, 10, 8)]
    [InlineData(ApiKey.OffsetFetch, 9, 10, 6)]
    [InlineData(ApiKey.FindCoordinator, 10, 6, 3)]
    [InlineData(ApiKey.JoinGroup, 11, 9, 6)]
    [InlineData(ApiKey.Heartbeat, 12, 4, 4)]
    [InlineData(ApiKey.LeaveGroup, 13, 5, 4)]
    [InlineData(ApiKey.SyncGroup, 14, 5, 4)]
    [InlineData(ApiKey.ApiVersions, 18, 4, 3)]
    [InlineData(ApiKey.CreateTopics, 19, 7, 5)]
    [InlineData(ApiKey.InitProducerId, 22, 5, 2)]
    [InlineData(ApiKey.DescribeGroups, 15, 6, 5)]
    [InlineData(ApiKey.ListGroups, 16, 5, 3)]
    [InlineData(ApiKey.DeleteTopics, 20, 6, 4)]
    [InlineData(ApiKey.DeleteRecords, 21, 2, 2)]
    [InlineData(ApiKey.OffsetForLeaderEpoch, 23, 4, 4)]
    [InlineData(ApiKey.AddPartitionsToTxn, 24, 5, 3)]
    [InlineData(ApiKey.AddOffsetsToTxn, 25, 4, 3)]
    [InlineData(ApiKey.EndTxn, 26, 5, 3)]
    [InlineData(ApiKey.WriteTxnMarkers, 27, 2, 1)]
    [InlineData(ApiKey.TxnOffsetCommit, 28, 5, 3)]
    [InlineData(ApiKey.DescribeAcls, 29, 3, 2)]
    [InlineData(ApiKey.CreateAcls, 30, 3, 2)]
    [InlineData(ApiKey.DeleteAcls, 31, 3, 2)]
    [InlineData(ApiKey.DescribeProducers, 61, 0, 0)]
    [InlineData(ApiKey.DescribeTransactions, 65, 0, 0)]
    [InlineData(ApiKey.ListTransactions, 66, 2, 0)]
    [InlineData(ApiKey.DescribeConfigs, 32, 4, 4)]
    [InlineData(ApiKey.AlterConfigs, 33, 2, 2)]
    [InlineData(ApiKey.DescribeLogDirs, 35, 4, 2)]
    [InlineData(ApiKey.CreatePartitions, 37, 3, 2)]
    [InlineData(ApiKey.DeleteGroups, 42, 2, 2)]
    [InlineData(ApiKey.ElectLeaders, 43, 2, 2)]
    [InlineData(ApiKey.IncrementalAlterConfigs, 44, 1, 1)]
    [InlineData(ApiKey.AlterReplicaLogDirs, 34, 2, 2)]
    [InlineData(ApiKey.AlterPartitionReassignments, 45, 1, 0)]
    [InlineData(ApiKey.DescribeClientQuotas, 48, 1, 1)]
    [InlineData(ApiKey.AlterClientQuotas, 49, 1, 1)]
    [InlineData(ApiKey.DescribeUserScramCredentials, 50, 0, 0)]
    [InlineData(ApiKey.AlterUserScramCredentials, 51, 0, 0)]
    [InlineData(ApiKey.ListPartitionReassignments, 46, 0, 0)]
    [InlineData(ApiKey.OffsetDelete, 47, 0, short.MaxValue)]
    [InlineData(ApiKey.DescribeCluster, 60, 2, 0)]
    [InlineData(ApiKey.ConsumerGroupHeartbeat, 68, 1, 0)]
    [InlineData(ApiKey.ConsumerGroupDescribe, 69, 1, 0)]
    [InlineData(ApiKey.DescribeTopicPartitions, 75, 0, 0)]
    [InlineData(ApiKey.SaslHandshake, 17, 1, short.MaxValue)]
    [InlineData(ApiKey.SaslAuthenticate, 36, 2, 2)]
    public void An_api_has_its_number_its_versions_and_its_first_flexible_version(ApiKey key, short number, short newest, short firstFlexible)
    {
        Assert.Equal(number, (short)key);
        ApiDefinition? api = KafkaApis.Find(key);
        Assert.Equal(new ApiDefinition(key, MinVersion: 0, newest, firstFlexible), api);
        for (short version = 0; version <= newest; version++)
        {
            Assert.True(api!.Supports(version));
            Assert.Equal(version >= firstFlexible, api.IsFlexible(version));
            Assert.Equal(version >= firstFlexible ? 2 : 1, api.RequestHeaderVersion(version));
            Assert.Equal(version >= firstFlexible && key != ApiKey.ApiVersions ? 1 : 0, api.ResponseHeaderVersion(version));
        }

        Assert.False(api!.Supports(-1));
        Assert.False(api.Supports((short)(newest + 1)));
    }

    [Fact]
    public void The_table_lists_each_api_once_and_knows_no_other_key()
    {
        int rowCount = typeof(ApiTableTests).GetMethod(nameof(An_api_has_its_number_its_versions_and_its_first_flexible_version))!
            .GetCustomAttributes(typeof(InlineDataAttribute), inherit: false).Length;
        Assert.Equal(rowCount, KafkaApis.All.Count);
        Assert.Equal(rowCount, KafkaApis.All.Select(api => api.Key).Distinct().Count());
        for (int key = short.MinValue; key <= short.MaxValue; key++)
        {
            Assert.Equal(KafkaApis.All.SingleOrDefault(api => (short)api.Key == key), KafkaApis.Find((ApiKey)key));
        }
    }

    [Fact]
    public void Every_response_with_a_throttle_time_offers_it_to_the_connection()
    {
        var carriers = KnownMessages.All.Select(message => message.Create()).Where(message => message.GetType().GetField("ThrottleMilliseconds") is not null).ToList();
        Assert.NotEmpty(carriers);
        foreach (IMessage carrier in carriers)
        {
            carrier.GetType().GetField("ThrottleMilliseconds")!.SetValue(carrier, 250);
            Assert.Equal(250, Assert.IsAssignableFrom<IThrottledResponse>(carrier).ThrottleMilliseconds);
        }
    }

    [Fact]
    public void Every_error_code_of_Kafka_has_a_name_and_a_sentence()
    {
        Assert.Equal(Enumerable.Range(-1, 135), Enum.GetValues<ErrorCode>().Select(code => (int)code).Order());
        Assert.All(Enum.GetValues<ErrorCode>(), code => Assert.EndsWith($"({code}, {(short)code})", KafkaErrors.Describe(code), StringComparison.Ordinal));
        Assert.Equal("The error code 9999 is not known.", KafkaErrors.Describe((ErrorCode)9999));
    }

    [Fact]
    public void Exactly_the_errors_that_Kafka_calls_retriable_are_retriable()
    {
        int[] retriable =
        [
            2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100, 103, 106, 122, 123, 133,
        ];
        Assert.Equal(retriable, Enumerable.Range(-1, 200).Where(code => KafkaErrors.IsRetriable((ErrorCode)code)));
    }
}
