using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Which broker is asked, what is tried again, and what each item is told.</summary>
public sealed class AdminRoutingTests
{
    private static readonly TopicPartition Orders0 = new("orders", 0);
    private static readonly TopicPartition Orders1 = new("orders", 1);

    [Fact]
    public async Task Topics_are_created_by_the_controller_and_by_its_successor_where_it_has_moved()
    {
        var cluster = new AdminCluster { ControllerId = 2 };
        cluster.On<CreateTopicsRequest, CreateTopicsResponse>((node, _, request) =>
        {
            bool isController = node == 3;
            cluster.ControllerId = 3;
            return new CreateTopicsResponse
            {
                Topics = [.. request.Topics.Select(topic => new CreatableTopicResult { Name = topic.Name, ErrorCode = isController ? ErrorCode.None : ErrorCode.NotController })],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        CreateTopicResult result = Assert.Single(await client.Admin.CreateTopicsAsync([new NewTopic("orders", 3)], Until.Timeout())).Value;
        Assert.True(result.Created);
        Assert.Equal([2, 3], cluster.Asked(ApiKey.CreateTopics));
    }

    [Fact]
    public async Task One_item_that_fails_leaves_the_others_what_they_are_and_is_not_tried_again()
    {
        var cluster = new AdminCluster();
        cluster.On<DeleteTopicsRequest, DeleteTopicsResponse>((_, _, request) => new DeleteTopicsResponse
        {
            Responses =
            [
                .. request.Topics.Select(topic => new DeletableTopicResult
                {
                    Name = topic.Name,
                    ErrorCode = topic.Name == "secret" ? ErrorCode.TopicAuthorizationFailed : ErrorCode.None,
                    ErrorMessage = topic.Name == "secret" ? "Not yours." : null,
                }),
            ],
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<string, AdminResult> results = await client.Admin.DeleteTopicsAsync(["orders", "secret"], Until.Timeout());
        Assert.True(results["orders"].IsSuccess);
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, results["secret"].ErrorCode);
        string message = Assert.IsType<KafkaBrokerException>(results["secret"].Failure).Message;
        Assert.Contains("node-1:9001", message);
        Assert.Contains("DeleteTopics", message);
        Assert.Contains("'secret'", message);
        Assert.Contains("Not yours.", message);
        Assert.Throws<KafkaBrokerException>(() => results.ThrowIfAnyFailed());
        Assert.Single(cluster.Asked(ApiKey.DeleteTopics));
    }

    [Fact]
    public async Task Each_leader_is_asked_for_its_partitions_and_only_what_has_moved_is_asked_for_again()
    {
        var cluster = new AdminCluster();
        cluster.Leaders["orders"] = [1, 2];
        var askedFor = new List<(int Node, int Partition)>();
        cluster.On<ListOffsetsRequest, ListOffsetsResponse>((node, _, request) =>
        {
            ListOffsetsTopic topic = request.Topics.Single();
            lock (askedFor)
            {
                askedFor.AddRange(topic.Partitions.Select(partition => (node, partition.Index)));
            }

            bool isStale = node == 2;
            cluster.Leaders["orders"] = [1, 3];
            return new ListOffsetsResponse
            {
                Topics =
                [
                    new ListOffsetsTopicResponse
                    {
                        Name = topic.Name,
                        Partitions =
                        [
                            .. topic.Partitions.Select(partition => new ListOffsetsPartitionResponse
                            {
                                Index = partition.Index, Offset = 100 + partition.Index, ErrorCode = isStale ? ErrorCode.NotLeaderOrFollower : ErrorCode.None,
                            }),
                        ],
                    },
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, Offset> offsets = await client.Admin.ListOffsetsAsync([Orders0, Orders1], OffsetSpec.Latest, Until.Timeout());
        Assert.Equal(new Offset(100), offsets[Orders0]);
        Assert.Equal(new Offset(101), offsets[Orders1]);
        Assert.Equal([(1, 0), (2, 1), (3, 1)], askedFor.Order());
    }

    [Fact]
    public async Task A_leader_that_is_known_from_before_and_has_moved_is_looked_for_anew()
    {
        var cluster = new AdminCluster();
        cluster.Leaders["orders"] = [2];
        cluster.On<ListOffsetsRequest, ListOffsetsResponse>((node, _, request) => new ListOffsetsResponse
        {
            Topics =
            [
                new ListOffsetsTopicResponse
                {
                    Name = "orders", Partitions = [new ListOffsetsPartitionResponse { Index = 0, Offset = 100, ErrorCode = node == 2 ? ErrorCode.NotLeaderOrFollower : ErrorCode.None }],
                },
            ],
        });
        var settings = ClientSettings.From(new KafkaClientOptions { BootstrapServers = "node-1:9001" });
        var context = new ClientContext(settings, cluster, TimeProvider.System, NullLoggerFactory.Instance, new Chance(new Random(1)));
        await using var pool = new ConnectionPool(context);
        await using var metadata = new MetadataCache(context, pool);
        metadata.Track(["orders"]);
        await metadata.RefreshAsync(Until.Timeout());
        cluster.Leaders["orders"] = [3];
        var admin = new KafkaAdmin(context, pool, metadata);
        Assert.Equal(new Offset(100), (await admin.ListOffsetsAsync([Orders0], OffsetSpec.Latest, Until.Timeout()))[Orders0]);
        Assert.Equal([2, 3], cluster.Asked(ApiKey.ListOffsets));
    }

    [Fact]
    public async Task A_topic_that_nobody_knows_fails_soon_and_is_not_created_by_asking()
    {
        var cluster = new AdminCluster();
        bool mayCreate = false;
        cluster.Leaders["orders"] = [1];
        cluster.On<ListOffsetsRequest, ListOffsetsResponse>((_, _, request) => new ListOffsetsResponse
        {
            Topics = [new ListOffsetsTopicResponse { Name = "orders", Partitions = [new ListOffsetsPartitionResponse { Index = 0, Offset = 5 }] }],
        });
        cluster.On<MetadataRequest, MetadataResponse>((_, version, request) =>
        {
            mayCreate |= request.AllowAutoTopicCreation && request.Topics is { Count: > 0 };
            return new MetadataResponse
            {
                Brokers = [new MetadataBroker { NodeId = 1, Host = "node-1", Port = 9001 }],
                ControllerId = 1,
                Topics =
                [
                    .. (request.Topics ?? []).Select(topic => topic.Name == "orders"
                        ? new MetadataTopic { Name = "orders", Partitions = [new MetadataPartition { LeaderId = 1 }] }
                        : new MetadataTopic { Name = topic.Name, ErrorCode = ErrorCode.UnknownTopicOrPartition }),
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, AdminResult<ListedOffset>> results = await client.Admin.ListOffsetsAsync(
            new Dictionary<TopicPartition, OffsetSpec> { [Orders0] = OffsetSpec.Latest, [new("missing", 0)] = OffsetSpec.Latest }, cancellationToken: Until.Timeout());
        Assert.Equal(new Offset(5), results[Orders0].Value.Offset);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, results[new("missing", 0)].ErrorCode);
        Assert.Throws<KafkaBrokerException>(() => results[new("missing", 0)].Value);
        Assert.False(mayCreate);
    }

    [Fact]
    public async Task Settings_of_a_broker_come_from_it_and_one_that_is_not_up_fails_alone()
    {
        var cluster = new AdminCluster();
        cluster.On<DescribeConfigsRequest, DescribeConfigsResponse>((node, _, request) => new DescribeConfigsResponse
        {
            Results =
            [
                .. request.Resources.Select(resource => new DescribeConfigsResult
                {
                    ResourceType = resource.ResourceType,
                    ResourceName = resource.ResourceName,
                    Configs = [new DescribeConfigsResourceResult { Name = "answered.by", Value = node.ToString(), ConfigSource = 4 }],
                }),
            ],
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<ConfigResource, AdminResult<IReadOnlyDictionary<string, ConfigEntry>>> results = await client.Admin.DescribeConfigsAsync(
            [ConfigResource.Broker(2), ConfigResource.Broker(3), ConfigResource.Broker(9), ConfigResource.Topic("orders")], cancellationToken: Until.Timeout());
        Assert.Equal("2", results[ConfigResource.Broker(2)].Value["answered.by"].Value);
        Assert.Equal("3", results[ConfigResource.Broker(3)].Value["answered.by"].Value);
        Assert.True(results[ConfigResource.Topic("orders")].IsSuccess);
        Assert.Equal(ErrorCode.BrokerNotAvailable, results[ConfigResource.Broker(9)].ErrorCode);
        Assert.Contains("1, 2, 3", results[ConfigResource.Broker(9)].Failure!.Message);
    }

    [Theory]
    [InlineData((short)4)]
    [InlineData((short)1)]
    public async Task Groups_are_asked_for_at_their_coordinators_which_are_found_again_where_they_moved(short findCoordinatorVersion)
    {
        var cluster = new AdminCluster();
        cluster.Versions = (_, api) => (api.MinVersion, api.Key == ApiKey.FindCoordinator ? findCoordinatorVersion : api.MaxVersion);
        var coordinators = new Dictionary<string, int> { ["a"] = 2, ["b"] = 2, ["c"] = 3 };
        cluster.On<FindCoordinatorRequest, FindCoordinatorResponse>((_, version, request) =>
        {
            Coordinator Of(string key) => new()
            {
                Key = key, NodeId = coordinators[key], Host = $"node-{coordinators[key]}", Port = 9000 + coordinators[key], ErrorMessage = null,
            };

            return version >= 4
                ? new FindCoordinatorResponse { Coordinators = [.. request.CoordinatorKeys.Select(Of)] }
                : new FindCoordinatorResponse { NodeId = Of(request.Key).NodeId, Host = Of(request.Key).Host, Port = Of(request.Key).Port };
        });
        cluster.On<DeleteGroupsRequest, DeleteGroupsResponse>((node, _, request) =>
        {
            DeleteGroupsResponse response = new()
            {
                Results =
                [
                    .. request.GroupIds.Select(group => new DeletableGroupResult
                    {
                        GroupId = group,
                        ErrorCode = group == "b" && node == 2 ? ErrorCode.NotCoordinator : group == "c" ? ErrorCode.NonEmptyGroup : ErrorCode.None,
                    }),
                ],
            };
            coordinators["b"] = 1;
            return response;
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<string, AdminResult> results = await client.Admin.DeleteGroupsAsync(["a", "b", "c"], Until.Timeout());
        Assert.True(results["a"].IsSuccess);
        Assert.True(results["b"].IsSuccess);
        Assert.Equal(ErrorCode.NonEmptyGroup, results["c"].ErrorCode);
        Assert.Equal([1, 2, 3], cluster.Asked(ApiKey.DeleteGroups).Order());
    }

    [Fact]
    public async Task Groups_are_listed_by_each_broker_and_one_that_is_down_is_named_as_a_gap()
    {
        var cluster = new AdminCluster();
        cluster.DownIds.Add(3);
        cluster.On<ListGroupsRequest, ListGroupsResponse>((node, _, _) => new ListGroupsResponse
        {
            Groups = [new ListedGroup { GroupId = $"group-{node}", ProtocolType = "consumer", GroupState = "Stable", GroupType = "consumer" }],
        });
        await using KafkaClient client = cluster.CreateClient(configure: options => options.ApiTimeout = TimeSpan.FromMilliseconds(200));
        ClusterListing<GroupListing> listing = await client.Admin.ListGroupsAsync(cancellationToken: Until.Timeout());
        Assert.Equal(
            [new GroupListing("group-1", "consumer", GroupState.Stable, GroupType.Consumer), new GroupListing("group-2", "consumer", GroupState.Stable, GroupType.Consumer)],
            listing.Items);
        Assert.Equal([3], listing.Failures.Keys);
        Assert.Throws<KafkaTimeoutException>(listing.ThrowIfIncomplete);
        Assert.Equal([1, 2], cluster.Asked(ApiKey.ListGroups).Order());
    }

    [Fact]
    public async Task A_failure_that_lasts_ends_with_the_time_out_of_the_call_and_the_last_error()
    {
        var time = new ManualTime();
        var cluster = new AdminCluster();
        int attempts = 0;
        cluster.On<CreatePartitionsRequest, CreatePartitionsResponse>((_, _, request) =>
        {
            attempts++;
            return new CreatePartitionsResponse
            {
                Results =
                [
                    .. request.Topics.Select(topic => new CreatePartitionsTopicResult
                    {
                        Name = topic.Name, ErrorCode = topic.Name == "slow" ? ErrorCode.ThrottlingQuotaExceeded : ErrorCode.None,
                    }),
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient(time, options =>
        {
            options.ApiTimeout = TimeSpan.FromSeconds(10);
            options.RetryBackoff = TimeSpan.FromSeconds(1);
            options.RetryBackoffMax = TimeSpan.FromSeconds(1);
        });
        Task<IReadOnlyDictionary<string, AdminResult>> call = client.Admin.CreatePartitionsAsync([new NewPartitions("quick", 4), new NewPartitions("slow", 4)]);
        await Until.TrueAsync(
            () =>
            {
                time.AdvanceToNext(TimeSpan.FromSeconds(2));
                return call.IsCompleted;
            },
            "the end of the call");
        IReadOnlyDictionary<string, AdminResult> results = await call;
        Assert.True(results["quick"].IsSuccess);
        KafkaTimeoutException failure = Assert.IsType<KafkaTimeoutException>(results["slow"].Failure);
        Assert.Equal(ErrorCode.ThrottlingQuotaExceeded, failure.ErrorCode);
        Assert.Contains("00:00:10", failure.Message);
        Assert.InRange(attempts, 5, 14);
    }

    [Fact]
    public async Task Cancelling_ends_a_call_at_once()
    {
        var cluster = new AdminCluster();
        using var stop = new CancellationTokenSource();
        cluster.On<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>((_, _, _) =>
        {
            stop.Cancel();
            return new ListPartitionReassignmentsResponse { ErrorCode = ErrorCode.NotController };
        });
        await using KafkaClient client = cluster.CreateClient();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.Admin.ListPartitionReassignmentsAsync(cancellationToken: stop.Token));
    }

    [Fact]
    public async Task A_broker_that_leaves_an_item_out_is_told_of()
    {
        var cluster = new AdminCluster();
        cluster.On<DeleteTopicsRequest, DeleteTopicsResponse>((_, _, _) => new DeleteTopicsResponse());
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<string, AdminResult> results = await client.Admin.DeleteTopicsAsync(["orders"], Until.Timeout());
        Assert.IsType<KafkaProtocolException>(results["orders"].Failure);
    }

    [Fact]
    public async Task What_a_broker_does_not_offer_fails_with_both_ranges_and_without_waiting()
    {
        var cluster = new AdminCluster { Versions = static (_, api) => api.Key == ApiKey.AlterClientQuotas ? null : (api.MinVersion, api.MaxVersion) };
        await using KafkaClient client = cluster.CreateClient();
        var alice = QuotaEntity.User("alice");
        IReadOnlyDictionary<QuotaEntity, AdminResult> results = await client.Admin.AlterClientQuotasAsync(
            new Dictionary<QuotaEntity, IReadOnlyDictionary<string, double?>> { [alice] = new Dictionary<string, double?> { ["producer_byte_rate"] = 1 } },
            cancellationToken: Until.Timeout());
        Assert.IsType<KafkaVersionException>(results[QuotaEntity.User("alice")].Failure);
        Assert.Contains("AlterClientQuotas", results[alice].Failure!.Message);
    }
}
