using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>What is asked and what is answered, for the calls that only a cluster answers.</summary>
public sealed class AdminMappingTests
{
    private static readonly TopicPartition Orders0 = new("orders", 0);
    private static readonly TopicPartition Orders1 = new("orders", 1);

    [Fact]
    public async Task A_timestamp_that_no_date_can_say_becomes_the_nearest_one()
    {
        const long microseconds = 1_780_000_000_000_000;
        DateTimeOffset latest = DateTimeOffset.FromUnixTimeMilliseconds(253_402_300_799_999);
        var cluster = new AdminCluster();
        cluster.Leaders["orders"] = [1];
        cluster.On<ListOffsetsRequest, ListOffsetsResponse>((_, _, _) => new ListOffsetsResponse
        {
            Topics = [new ListOffsetsTopicResponse { Name = "orders", Partitions = [new ListOffsetsPartitionResponse { Offset = 5, Timestamp = microseconds }] }],
        });
        cluster.On<DescribeProducersRequest, DescribeProducersResponse>((_, _, _) => new DescribeProducersResponse
        {
            Topics =
            [
                new DescribeProducersTopicResponse
                {
                    Name = "orders", Partitions = [new DescribeProducersPartitionResponse { ActiveProducers = [new DescribedProducer { ProducerId = 7, LastTimestamp = microseconds }] }],
                },
            ],
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, AdminResult<ListedOffset>> offsets = await client.Admin.ListOffsetsAsync(
            new Dictionary<TopicPartition, OffsetSpec> { [Orders0] = OffsetSpec.MaxTimestamp }, cancellationToken: Until.Timeout());
        Assert.Equal(latest, offsets[Orders0].Value.Timestamp);
        IReadOnlyDictionary<TopicPartition, AdminResult<IReadOnlyList<ActiveProducer>>> producers = await client.Admin.DescribeProducersAsync([Orders0], Until.Timeout());
        Assert.Equal(latest, Assert.Single(producers[Orders0].Value).LastTimestamp);
    }

    [Fact]
    public async Task A_partition_that_the_coordinator_leaves_out_of_what_a_group_has_committed_does_not_count_as_without_a_commit()
    {
        var cluster = new AdminCluster();
        cluster.On<FindCoordinatorRequest, FindCoordinatorResponse>((_, _, request) => new FindCoordinatorResponse
        {
            Coordinators = [.. request.CoordinatorKeys.Select(key => new Coordinator { Key = key, NodeId = 1, Host = AdminCluster.AddressOf(1).Host, Port = AdminCluster.AddressOf(1).Port })],
        });
        cluster.On<OffsetFetchRequest, OffsetFetchResponse>((_, _, _) => new OffsetFetchResponse
        {
            Groups =
            [
                new OffsetFetchGroupResponse
                {
                    GroupId = "workers",
                    Topics = [new OffsetFetchTopicResponse { Name = "orders", Partitions = [new OffsetFetchPartitionResponse { Index = 0, CommittedOffset = -1 }] }],
                },
            ],
        });
        await using KafkaClient client = cluster.CreateClient();
        GroupOffsets named = (await client.Admin.ListGroupOffsetsAsync(["workers"], [Orders0, Orders1], cancellationToken: Until.Timeout()))["workers"].Value;
        Assert.Empty(named.Offsets);
        (TopicPartition leftOut, KafkaException failure) = Assert.Single(named.Failures);
        Assert.Equal(Orders1, leftOut);
        Assert.IsType<KafkaProtocolException>(failure);
        Assert.Contains("left orders-1 of group 'workers' out of its answer to OffsetFetch", failure.Message, StringComparison.Ordinal);

        GroupOffsets all = (await client.Admin.ListGroupOffsetsAsync(["workers"], cancellationToken: Until.Timeout()))["workers"].Value;
        Assert.Empty(all.Failures);
    }

    [Fact]
    public async Task An_election_tells_who_was_elected_who_needed_none_and_who_could_not_and_tries_none_again()
    {
        var cluster = new AdminCluster { ControllerId = 3 };
        sbyte? type = null;
        cluster.On<ElectLeadersRequest, ElectLeadersResponse>((_, _, request) =>
        {
            type = request.ElectionType;
            return new ElectLeadersResponse
            {
                ReplicaElectionResults =
                [
                    new ReplicaElectionResult
                    {
                        Topic = "orders",
                        Partitions =
                        [
                            new PartitionElectionResult { Index = 0 },
                            new PartitionElectionResult { Index = 1, ErrorCode = ErrorCode.ElectionNotNeeded },
                            new PartitionElectionResult { Index = 2, ErrorCode = ErrorCode.EligibleLeadersNotAvailable, ErrorMessage = "None is up." },
                        ],
                    },
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, AdminResult<ElectionOutcome>> results = await client.Admin.ElectLeadersAsync(
            ElectionType.Unclean, [Orders0, Orders1, new("orders", 2)], Until.Timeout());
        Assert.Equal((sbyte)1, type);
        Assert.Equal(ElectionOutcome.Elected, results[Orders0].Value);
        Assert.Equal(ElectionOutcome.NotNeeded, results[Orders1].Value);
        Assert.Equal(ErrorCode.EligibleLeadersNotAvailable, results[new("orders", 2)].ErrorCode);
        Assert.Equal([3], cluster.Asked(ApiKey.ElectLeaders));
    }

    [Fact]
    public async Task An_election_of_all_partitions_asks_for_all_and_tries_a_moved_controller_again()
    {
        var cluster = new AdminCluster();
        cluster.On<ElectLeadersRequest, ElectLeadersResponse>((node, _, request) =>
        {
            Assert.Null(request.TopicPartitions);
            cluster.ControllerId = 2;
            return node == 2
                ? new ElectLeadersResponse { ReplicaElectionResults = [new ReplicaElectionResult { Topic = "orders", Partitions = [new PartitionElectionResult()] }] }
                : new ElectLeadersResponse { ErrorCode = ErrorCode.NotController };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, AdminResult<ElectionOutcome>> results = await client.Admin.ElectLeadersAsync(ElectionType.Preferred, cancellationToken: Until.Timeout());
        Assert.Equal(ElectionOutcome.Elected, Assert.Single(results).Value.Value);
    }

    [Fact]
    public async Task A_reassignment_moves_calls_off_and_is_listed_until_it_is_over()
    {
        var cluster = new AdminCluster { ControllerId = 2 };
        List<ReassignablePartition> asked = [];
        cluster.On<AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse>((_, _, request) =>
        {
            asked.AddRange(request.Topics.Single().Partitions);
            return new AlterPartitionReassignmentsResponse
            {
                Responses =
                [
                    new ReassignableTopicResponse
                    {
                        Name = "orders",
                        Partitions =
                        [
                            new ReassignablePartitionResponse { Index = 0 },
                            new ReassignablePartitionResponse { Index = 1, ErrorCode = ErrorCode.NoReassignmentInProgress },
                        ],
                    },
                ],
            };
        });
        cluster.On<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>((_, _, request) =>
        {
            Assert.Equal([0], request.Topics!.Single().PartitionIndexes);
            return new ListPartitionReassignmentsResponse
            {
                Topics =
                [
                    new OngoingTopicReassignment
                    {
                        Name = "orders",
                        Partitions = [new OngoingPartitionReassignment { Index = 0, Replicas = [1, 2, 3], AddingReplicas = [3], RemovingReplicas = [1] }],
                    },
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, AdminResult> results = await client.Admin.AlterPartitionReassignmentsAsync(
            new Dictionary<TopicPartition, IReadOnlyList<int>?> { [Orders0] = [2, 3], [Orders1] = null }, cancellationToken: Until.Timeout());
        Assert.True(results[Orders0].IsSuccess);
        Assert.Equal(ErrorCode.NoReassignmentInProgress, results[Orders1].ErrorCode);
        Assert.Equal([2, 3], asked[0].Replicas);
        Assert.Null(asked[1].Replicas);
        Assert.Equal([2], cluster.Asked(ApiKey.AlterPartitionReassignments));

        PartitionReassignment move = (await client.Admin.ListPartitionReassignmentsAsync([Orders0], Until.Timeout()))[Orders0];
        Assert.Equal([1, 2, 3], move.Replicas);
        Assert.Equal([3], move.AddingReplicas);
        Assert.Equal([1], move.RemovingReplicas);
    }

    [Fact]
    public async Task A_reassignment_that_may_not_change_the_replication_factor_is_not_sent_to_a_broker_that_would()
    {
        var cluster = new AdminCluster { Versions = static (_, api) => (api.MinVersion, api.Key == ApiKey.AlterPartitionReassignments ? (short)0 : api.MaxVersion) };
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<TopicPartition, AdminResult> results = await client.Admin.AlterPartitionReassignmentsAsync(
            new Dictionary<TopicPartition, IReadOnlyList<int>?> { [Orders0] = [2] }, allowReplicationFactorChange: false, Until.Timeout());
        Assert.IsType<KafkaVersionException>(results[Orders0].Failure);
        Assert.Empty(cluster.Asked(ApiKey.AlterPartitionReassignments));
    }

    [Fact]
    public async Task Log_dirs_are_each_brokers_own_and_a_failed_disk_is_one_of_them()
    {
        var cluster = new AdminCluster(nodeCount: 2);
        cluster.On<DescribeLogDirsRequest, DescribeLogDirsResponse>((node, _, _) => new DescribeLogDirsResponse
        {
            Results =
            [
                new DescribeLogDirsResult
                {
                    LogDir = $"/data/{node}",
                    TotalBytes = 1000,
                    UsableBytes = 400,
                    Topics = [new DescribeLogDirsTopic { Name = "orders", Partitions = [new DescribeLogDirsPartition { Index = 1, PartitionSize = 77, OffsetLag = 5, IsFutureKey = true }] }],
                },
                new DescribeLogDirsResult { LogDir = "/broken", ErrorCode = ErrorCode.KafkaStorageError },
            ],
        });
        cluster.On<AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse>((node, _, request) => new AlterReplicaLogDirsResponse
        {
            Results =
            [
                new AlterReplicaLogDirTopicResult
                {
                    TopicName = "orders",
                    Partitions = [new AlterReplicaLogDirPartitionResult { Index = 1, ErrorCode = request.Dirs.Single().Path == $"/data/{node}" ? ErrorCode.None : ErrorCode.LogDirNotFound }],
                },
            ],
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<int, AdminResult<IReadOnlyList<LogDirDescription>>> directories = await client.Admin.DescribeLogDirsAsync(cancellationToken: Until.Timeout());
        Assert.Equal([1, 2], directories.Keys.Order());
        IReadOnlyList<LogDirDescription> second = directories[2].Value;
        Assert.Equal(("/data/2", 1000L, 400L), (second[0].Path, second[0].TotalByteCount, second[0].UsableByteCount));
        Assert.Equal(new LogDirReplica(77, 5, IsFuture: true), second[0].Replicas[Orders1]);
        Assert.Equal(ErrorCode.KafkaStorageError, second[1].Failure!.ErrorCode);
        Assert.Null(second[1].TotalByteCount);

        var replicas = new Dictionary<TopicPartitionReplica, string> { [new(Orders1, 1)] = "/data/1", [new(Orders1, 2)] = "/nowhere" };
        IReadOnlyDictionary<TopicPartitionReplica, AdminResult> moved = await client.Admin.AlterReplicaLogDirsAsync(replicas, Until.Timeout());
        Assert.True(moved[new(Orders1, 1)].IsSuccess);
        Assert.Equal(ErrorCode.LogDirNotFound, moved[new(Orders1, 2)].ErrorCode);
    }

    [Fact]
    public async Task Quotas_are_asked_for_by_name_by_default_and_by_type_and_set_and_removed()
    {
        var cluster = new AdminCluster { ControllerId = 2 };
        DescribeClientQuotasRequest? asked = null;
        cluster.On<DescribeClientQuotasRequest, DescribeClientQuotasResponse>((_, _, request) =>
        {
            asked = request;
            return new DescribeClientQuotasResponse
            {
                Entries =
                [
                    new ClientQuotaEntry
                    {
                        Entity = [new ClientQuotaEntityPart { EntityType = "client-id", EntityName = null }, new ClientQuotaEntityPart { EntityType = "user", EntityName = "alice" }],
                        Values = [new ClientQuotaValue { Key = "producer_byte_rate", Value = 1024.5 }],
                    },
                ],
            };
        });
        AlterClientQuotasRequest? altered = null;
        cluster.On<AlterClientQuotasRequest, AlterClientQuotasResponse>((_, _, request) =>
        {
            altered = request;
            return new AlterClientQuotasResponse
            {
                Entries = [.. request.Entries.Select(entry => new AlterClientQuotasResult { Entity = entry.Entity, ErrorCode = entry.Entity[0].EntityType == "ip" ? ErrorCode.InvalidRequest : ErrorCode.None })],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        ClientQuota quota = Assert.Single(await client.Admin.DescribeClientQuotasAsync(
            new QuotaFilter { Names = new Dictionary<string, string?> { ["user"] = "alice", ["client-id"] = null }, AnyNameOf = ["ip"], IsStrict = true }, Until.Timeout()));
        Assert.Equal(QuotaEntity.UserAndClientId("alice", null), quota.Entity);
        Assert.Equal("default client-id, user 'alice'", quota.Entity.ToString());
        Assert.Equal(1024.5, quota.Values["producer_byte_rate"]);
        Assert.True(asked!.Strict);
        Assert.Equal(
            [("user", (sbyte)0, "alice"), ("client-id", (sbyte)1, null), ("ip", (sbyte)2, null)],
            asked.Components.Select(component => (component.EntityType, component.MatchType, component.Match)));

        var changes = new Dictionary<QuotaEntity, IReadOnlyDictionary<string, double?>>
        {
            [QuotaEntity.User("alice")] = new Dictionary<string, double?> { ["producer_byte_rate"] = 5e6, ["consumer_byte_rate"] = null },
            [QuotaEntity.Ip(null)] = new Dictionary<string, double?> { ["connection_creation_rate"] = 1 },
        };
        IReadOnlyDictionary<QuotaEntity, AdminResult> results = await client.Admin.AlterClientQuotasAsync(changes, validateOnly: true, Until.Timeout());
        Assert.True(results[QuotaEntity.User("alice")].IsSuccess);
        Assert.Equal(ErrorCode.InvalidRequest, results[QuotaEntity.Ip(null)].ErrorCode);
        Assert.True(altered!.ValidateOnly);
        Assert.Equal(
            [("producer_byte_rate", 5e6, false), ("consumer_byte_rate", 0, true)], altered.Entries[0].Ops.Select(change => (change.Key, change.Value, change.Remove)));
        Assert.Equal([2], cluster.Asked(ApiKey.AlterClientQuotas));
    }

    [Fact]
    public async Task Access_control_entries_are_added_listed_and_removed_each_with_its_own_outcome()
    {
        var cluster = new AdminCluster();
        var read = new AclBinding(AclResourceType.Topic, "orders", "User:alice", AclOperation.Read, AclPermission.Allow) { PatternType = AclPatternType.Prefixed };
        var write = new AclBinding(AclResourceType.Group, "*", "User:*", AclOperation.All, AclPermission.Deny) { Host = "10.0.0.1" };
        cluster.On<CreateAclsRequest, CreateAclsResponse>((_, _, request) => new CreateAclsResponse
        {
            Results = [.. request.Creations.Select(creation => new AclCreationResult { ErrorCode = creation.ResourceType == 2 ? ErrorCode.None : ErrorCode.SecurityDisabled })],
        });
        DescribeAclsRequest? asked = null;
        cluster.On<DescribeAclsRequest, DescribeAclsResponse>((_, _, request) =>
        {
            asked = request;
            return new DescribeAclsResponse
            {
                Resources =
                [
                    new DescribedAclResource
                    {
                        ResourceType = 2,
                        ResourceName = "orders",
                        PatternType = 4,
                        Acls = [new DescribedAcl { Principal = "User:alice", Host = "*", Operation = 3, PermissionType = 3 }],
                    },
                ],
            };
        });
        cluster.On<DeleteAclsRequest, DeleteAclsResponse>((_, _, request) => new DeleteAclsResponse
        {
            FilterResults =
            [
                new DeleteAclsFilterResult
                {
                    MatchingAcls = [new DeletedAcl { ResourceType = 2, ResourceName = "orders", PatternType = 4, Principal = "User:alice", Host = "*", Operation = 3, PermissionType = 3 }],
                },
                new DeleteAclsFilterResult { ErrorCode = ErrorCode.ClusterAuthorizationFailed },
            ],
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<AclBinding, AdminResult> created = await client.Admin.CreateAclsAsync([read, write], Until.Timeout());
        Assert.True(created[read].IsSuccess);
        Assert.Equal(ErrorCode.SecurityDisabled, created[write].ErrorCode);

        Assert.Equal(read, Assert.Single(await client.Admin.DescribeAclsAsync(new AclFilter { ResourceName = "orders" }, Until.Timeout())));
        Assert.Equal(((sbyte)1, "orders", (sbyte)1, null, (sbyte)1), (asked!.ResourceTypeFilter, asked.ResourceNameFilter, asked.PatternTypeFilter, asked.PrincipalFilter, asked.Operation));

        AclFilter[] filters = [new AclFilter { ResourceName = "orders" }, new AclFilter { ResourceType = AclResourceType.Cluster }];
        IReadOnlyDictionary<AclFilter, AdminResult<IReadOnlyDictionary<AclBinding, AdminResult>>> removed = await client.Admin.DeleteAclsAsync(filters, Until.Timeout());
        Assert.True(removed[filters[0]].Value[read].IsSuccess);
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, removed[filters[1]].ErrorCode);
    }

    [Theory]
    [InlineData(ScramMechanism.Sha256)]
    [InlineData(ScramMechanism.Sha512)]
    public async Task A_password_is_salted_and_hashed_here_as_RFC_5802_says_and_does_not_travel(ScramMechanism mechanism)
    {
        var cluster = new AdminCluster { ControllerId = 3 };
        AlterUserScramCredentialsRequest? sent = null;
        cluster.On<AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse>((_, _, request) =>
        {
            sent = request;
            return new AlterUserScramCredentialsResponse
            {
                Results = [new AlterUserScramCredentialsResult { User = "alice" }, new AlterUserScramCredentialsResult { User = "bob", ErrorCode = ErrorCode.ResourceNotFound }],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        var set = ScramCredentialChange.Set("alice", mechanism, "pencil");
        IReadOnlyDictionary<string, AdminResult> results = await client.Admin.AlterUserScramCredentialsAsync(
            [set, ScramCredentialChange.Remove("bob", ScramMechanism.Sha512)], Until.Timeout());
        Assert.True(results["alice"].IsSuccess);
        Assert.Equal(ErrorCode.ResourceNotFound, results["bob"].ErrorCode);
        Assert.DoesNotContain("pencil", set.ToString());
        ScramCredentialUpsertion upsertion = Assert.Single(sent!.Upsertions);
        Assert.Equal(("alice", (sbyte)mechanism, 4096), (upsertion.Name, upsertion.Mechanism, upsertion.Iterations));
        Assert.Equal(Hi(mechanism, "pencil", upsertion.Salt, upsertion.Iterations), upsertion.SaltedPassword);
        Assert.Equal(("bob", (sbyte)2), Assert.Single(sent.Deletions.Select(deletion => (deletion.Name, deletion.Mechanism))));
        Assert.Equal([3], cluster.Asked(ApiKey.AlterUserScramCredentials));
    }

    [Fact]
    public async Task Users_are_described_by_the_credentials_that_they_have()
    {
        var cluster = new AdminCluster();
        cluster.On<DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse>((_, _, request) =>
        {
            Assert.Null(request.Users);
            return new DescribeUserScramCredentialsResponse
            {
                Results =
                [
                    new DescribeUserScramCredentialsResult { User = "alice", CredentialInfos = [new ScramCredentialDescription { Mechanism = 2, Iterations = 8192 }] },
                    new DescribeUserScramCredentialsResult { User = "bob", ErrorCode = ErrorCode.DuplicateResource },
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<string, AdminResult<IReadOnlyList<ScramCredential>>> users = await client.Admin.DescribeUserScramCredentialsAsync(cancellationToken: Until.Timeout());
        Assert.Equal(new ScramCredential(ScramMechanism.Sha512, 8192), Assert.Single(users["alice"].Value));
        Assert.Equal(ErrorCode.DuplicateResource, users["bob"].ErrorCode);
    }

    [Fact]
    public async Task Topics_that_are_described_page_by_page_come_out_whole_and_older_brokers_are_asked_for_metadata()
    {
        var cluster = new AdminCluster();
        cluster.Leaders["orders"] = [1, 0, 2];
        int pages = 0;
        cluster.On<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse>((_, _, request) =>
        {
            int first = request.Cursor?.PartitionIndex ?? 0;
            pages++;
            return new DescribeTopicPartitionsResponse
            {
                Topics =
                [
                    new DescribedTopic
                    {
                        Name = "orders",
                        Partitions =
                        [
                            new DescribedPartition
                            {
                                Index = first, LeaderId = first, Replicas = [1, 2], InSyncReplicas = [1], EligibleLeaderReplicas = [2], OfflineReplicas = [2],
                            },
                        ],
                    },
                ],
                NextCursor = first < 2 ? new Cursor { TopicName = "orders", PartitionIndex = first + 1 } : null,
            };
        });
        await using (KafkaClient client = cluster.CreateClient())
        {
            TopicDescription topic = (await client.Admin.DescribeTopicsAsync(["orders"], Until.Timeout()))["orders"].Value;
            Assert.Equal([0, 1, 2], topic.Partitions.Select(partition => partition.Partition));
            Assert.Equal([2], topic.Partitions[1].EligibleLeaderReplicas);
            Assert.Equal([2], topic.Partitions[1].OfflineReplicas);
            Assert.Equal(3, pages);
        }

        cluster.Versions = static (_, api) => api.Key == ApiKey.DescribeTopicPartitions ? null : (api.MinVersion, api.MaxVersion);
        await using KafkaClient older = cluster.CreateClient();
        IReadOnlyDictionary<string, AdminResult<TopicDescription>> described = await older.Admin.DescribeTopicsAsync(["orders", "missing"], Until.Timeout());
        PartitionDescription offline = described["orders"].Value.Partitions[1];
        Assert.True(offline.IsOffline);
        Assert.True(offline.IsUnderReplicated);
        Assert.True(described["orders"].Value.Partitions[0].HasPreferredLeader);
        Assert.False(described["orders"].Value.Partitions[2].HasPreferredLeader);
        Assert.Null(offline.EligibleLeaderReplicas);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, described["missing"].ErrorCode);
    }

    [Fact]
    public async Task A_cluster_is_described_by_brokers_that_are_up_and_fenced_and_before_2_8_by_metadata()
    {
        var cluster = new AdminCluster();
        cluster.On<DescribeClusterRequest, DescribeClusterResponse>((_, version, request) => new DescribeClusterResponse
        {
            ClusterId = "c",
            ControllerId = 2,
            Brokers =
            [
                new DescribeClusterBroker { BrokerId = 2, Host = "node-2", Port = 9002, Rack = "r" },
                .. request.IncludeFencedBrokers ? [new DescribeClusterBroker { BrokerId = 4, Host = "node-4", Port = 9004, IsFenced = true }] : (DescribeClusterBroker[])[],
            ],
        });
        await using (KafkaClient client = cluster.CreateClient())
        {
            ClusterDescription described = await client.Admin.DescribeClusterAsync(includeFencedBrokers: true, Until.Timeout());
            Assert.Equal(new BrokerDescription(2, new BrokerAddress("node-2", 9002), "r"), Assert.Single(described.Brokers));
            Assert.Equal(4, Assert.Single(described.FencedBrokers).Id);
        }

        cluster.Versions = static (_, api) => api.Key == ApiKey.DescribeCluster ? null : (api.MinVersion, api.MaxVersion);
        await using KafkaClient older = cluster.CreateClient();
        ClusterDescription old = await older.Admin.DescribeClusterAsync(cancellationToken: Until.Timeout());
        Assert.Equal(("scripted", 1, 3), (old.ClusterId, old.ControllerId, old.Brokers.Count));
        await Assert.ThrowsAsync<KafkaVersionException>(() => older.Admin.DescribeClusterAsync(includeFencedBrokers: true, Until.Timeout()));
    }

    [Fact]
    public async Task Groups_of_both_protocols_are_described_and_a_broker_that_refuses_the_new_one_is_asked_by_the_old()
    {
        var cluster = new AdminCluster(nodeCount: 1);
        var refused = new List<string>();
        cluster.On<FindCoordinatorRequest, FindCoordinatorResponse>((_, _, request) => new FindCoordinatorResponse
        {
            Coordinators = [.. request.CoordinatorKeys.Select(key => new Coordinator { Key = key, NodeId = 1, Host = "node-1", Port = 9001 })],
        });
        cluster.On<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse>((_, _, request) => new ConsumerGroupDescribeResponse
        {
            Groups =
            [
                .. request.GroupIds.Select(group => group switch
                {
                    "new" => new DescribedConsumerGroup
                    {
                        GroupId = group,
                        GroupState = "Reconciling",
                        AssignorName = "uniform",
                        Members =
                        [
                            new DescribedConsumerGroupMember
                            {
                                MemberId = "m",
                                InstanceId = "i",
                                SubscribedTopicNames = ["orders"],
                                Assignment = new() { TopicPartitions = [new() { TopicName = "orders", Partitions = [1] }] },
                                TargetAssignment = new() { TopicPartitions = [new() { TopicName = "orders", Partitions = [0, 1] }] },
                            },
                        ],
                    },
                    "secret" => new DescribedConsumerGroup { GroupId = group, ErrorCode = ErrorCode.GroupAuthorizationFailed },
                    "off" => new DescribedConsumerGroup { GroupId = group, ErrorCode = ErrorCode.UnsupportedVersion },
                    _ => new DescribedConsumerGroup { GroupId = group, ErrorCode = ErrorCode.GroupIdNotFound },
                }),
            ],
        });
        cluster.On<DescribeGroupsRequest, DescribeGroupsResponse>((_, _, request) =>
        {
            refused.AddRange(request.Groups);
            return new DescribeGroupsResponse
            {
                Groups =
                [
                    .. request.Groups.Select(group => group == "gone"
                        ? new DescribedGroup { GroupId = group, GroupState = "Dead" }
                        : new DescribedGroup { GroupId = group, GroupState = "Stable", ProtocolType = "connect", Members = [new DescribedGroupMember { MemberId = "w", MemberMetadata = [1, 2, 3] }] }),
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        IReadOnlyDictionary<string, AdminResult<GroupDescription>> groups = await client.Admin.DescribeGroupsAsync(["new", "old", "secret", "off", "gone"], Until.Timeout());
        GroupDescription described = groups["new"].Value;
        Assert.Equal((GroupType.Consumer, GroupState.Reconciling, "uniform"), (described.Type, described.State, described.Assignor));
        Assert.Equal([Orders1], Assert.Single(described.Members).Assignment);
        Assert.Equal("i", described.Members[0].GroupInstanceId);
        Assert.Equal((GroupType.Classic, GroupState.Stable, "connect"), (groups["old"].Value.Type, groups["old"].Value.State, groups["old"].Value.ProtocolType));
        Assert.Empty(Assert.Single(groups["old"].Value.Members).Topics);
        Assert.True(groups["off"].IsSuccess);
        Assert.Equal(ErrorCode.GroupAuthorizationFailed, groups["secret"].ErrorCode);
        Assert.Equal(ErrorCode.GroupIdNotFound, groups["gone"].ErrorCode);
        Assert.Equal(["gone", "off", "old"], refused.Order());
    }

    [Fact]
    public async Task A_hanging_transaction_is_ended_by_the_marker_of_an_abort_at_its_leader()
    {
        var cluster = new AdminCluster();
        cluster.Leaders["orders"] = [2];
        WritableTxnMarker? sent = null;
        cluster.On<WriteTxnMarkersRequest, WriteTxnMarkersResponse>((node, _, request) =>
        {
            sent = request.Markers.Single();
            cluster.Leaders["orders"] = [3];
            return new WriteTxnMarkersResponse
            {
                Markers =
                [
                    new WritableTxnMarkerResult
                    {
                        ProducerId = sent.ProducerId,
                        Topics =
                        [
                            new WritableTxnMarkerTopicResult
                            {
                                Name = "orders", Partitions = [new WritableTxnMarkerPartitionResult { ErrorCode = node == 3 ? ErrorCode.None : ErrorCode.NotLeaderOrFollower }],
                            },
                        ],
                    },
                ],
            };
        });
        await using KafkaClient client = cluster.CreateClient();
        await client.Admin.AbortTransactionAsync(new HangingTransaction(Orders0, ProducerId: 7, ProducerEpoch: 3, CoordinatorEpoch: 9), Until.Timeout());
        Assert.Equal((7L, (short)3, 9, false), (sent!.ProducerId, sent.ProducerEpoch, sent.CoordinatorEpoch, sent.Committed));
        Assert.Equal([2, 3], cluster.Asked(ApiKey.WriteTxnMarkers));
    }

    /// <summary>Hi(), by the letter of RFC 5802.</summary>
    private static byte[] Hi(ScramMechanism mechanism, string password, byte[] salt, int iterations)
    {
        byte[] Hmac(byte[] data) => mechanism == ScramMechanism.Sha256
            ? HMACSHA256.HashData(Encoding.UTF8.GetBytes(password), data)
            : HMACSHA512.HashData(Encoding.UTF8.GetBytes(password), data);

        byte[] one = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(one, 1);
        byte[] current = Hmac([.. salt, .. one]);
        byte[] result = [.. current];
        for (int i = 1; i < iterations; i++)
        {
            current = Hmac(current);
            for (int index = 0; index < result.Length; index++)
            {
                result[index] ^= current[index];
            }
        }

        return result;
    }

    [Fact]
    public void Results_and_descriptions_print_what_is_in_them()
    {
        var refusal = new KafkaVersionException("Too old.");
        Assert.Equal("Failed: KafkaVersionException: Too old.", new AdminResult<int>(refusal).ToString());
        Assert.Equal("Failed: KafkaVersionException: Too old.", new AdminResult(refusal).ToString());
        Assert.Equal("Succeeded", new AdminResult(failure: null).ToString());
        Assert.Equal("[1, 2]", new AdminResult<IReadOnlyList<int>>([1, 2]).ToString());
        Assert.Equal("orders: Created", new CreateTopicResult("orders", failure: null, alreadyExisted: false).ToString());
        Assert.Equal("orders: Failed: KafkaVersionException: Too old.", new CreateTopicResult("orders", refusal, alreadyExisted: false).ToString());
        var broker = new BrokerDescription(1, new BrokerAddress("a", 9092), Rack: null);
        Assert.Equal(
            "ClusterDescription { ClusterId = x, ControllerId = 1, Brokers = [BrokerDescription { Id = 1, Address = a:9092, Rack =  }], FencedBrokers = [] }",
            new ClusterDescription("x", 1, [broker], []).ToString());
        Assert.Contains("Replicas = [1, 2], InSyncReplicas = [1]", new PartitionDescription(0, 1, 0, [1, 2], [1]).ToString(), StringComparison.Ordinal);
    }
}
