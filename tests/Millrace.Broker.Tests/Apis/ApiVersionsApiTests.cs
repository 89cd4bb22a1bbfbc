using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class ApiVersionsApiTests
{
    private static readonly ApiVersionsRequest Named = new() { ClientSoftwareName = "apache-kafka-java", ClientSoftwareVersion = "4.1.0" };

    /// <summary>What the client asks of Apache Kafka, and this broker has not: there is no second node, no second directory, no quota, and no group protocol of KIP-848.</summary>
    private static readonly ApiKey[] OfClusters =
    [
        ApiKey.AlterReplicaLogDirs,
        ApiKey.AlterPartitionReassignments,
        ApiKey.DescribeClientQuotas,
        ApiKey.AlterClientQuotas,
        ApiKey.DescribeUserScramCredentials,
        ApiKey.AlterUserScramCredentials,
        ApiKey.ConsumerGroupHeartbeat,
        ApiKey.ConsumerGroupDescribe,
    ];

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Every_version_lists_every_api_from_version_0(short version)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        ApiVersionsResponse response = await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(Named, version);

        Assert.Equal(ErrorCode.None, response.ErrorCode);
        Assert.Equal(KafkaApis.All.Select(api => api.Key).Except(OfClusters).Order(), response.ApiKeys.Select(range => range.Key));
        Assert.All(response.ApiKeys, range => Assert.Equal(0, range.MinVersion));
        Assert.Equal(13, response.ApiKeys.Single(range => range.Key == ApiKey.Produce).MaxVersion);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Transactions_of_version_2_are_a_finalized_feature(short version)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        ApiVersionsResponse response = await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(Named, version);

        FinalizedFeature feature = Assert.Single(response.FinalizedFeatures);
        Assert.Equal(("transaction.version", 2, 2), (feature.Name, feature.MinVersionLevel, feature.MaxVersionLevel));
        Assert.True(response.FinalizedFeaturesEpoch >= 0);

        // Older clients fail on a feature that is supported from 0 on (KAFKA-17011).
        Assert.Equal(version >= 4 ? [("transaction.version", 0, 2)] : [], response.SupportedFeatures.Select(known => (known.Name, (int)known.MinVersion, (int)known.MaxVersion)));
    }

    [Fact]
    public async Task A_version_of_the_future_is_answered_in_the_layout_of_version_0_with_the_list()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        await client.PostRawAsync(ClientConnectionTests.RawRequest((short)ApiKey.ApiVersions, 99, 0, 1, 2, 3));

        (int correlationId, ApiVersionsResponse response) = await client.ReceiveAsync<ApiVersionsRequest, ApiVersionsResponse>(0);
        Assert.Equal(7, correlationId);
        Assert.Equal(ErrorCode.UnsupportedVersion, response.ErrorCode);
        Assert.Equal(4, response.ApiKeys.Single(range => range.Key == ApiKey.ApiVersions).MaxVersion);

        // The connection lives: the client chooses a version and asks again.
        Assert.Equal(ErrorCode.None, (await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(Named, 4)).ErrorCode);
    }

    [Theory]
    [InlineData("", "1.0")]
    [InlineData("name", "")]
    [InlineData("-name", "1.0")]
    [InlineData("a name", "1.0")]
    public async Task A_client_without_a_proper_name_is_refused(string name, string version)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestClient client = broker.Connect();

        ApiVersionsResponse response = await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(
            new ApiVersionsRequest { ClientSoftwareName = name, ClientSoftwareVersion = version }, 3);

        Assert.Equal(ErrorCode.InvalidRequest, response.ErrorCode);
    }
}
