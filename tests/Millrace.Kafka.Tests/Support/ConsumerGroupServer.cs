using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>
/// A server on a socket that coordinates one group by the protocol of KIP-848 as Apache Kafka does it: it shares out partitions evenly, gives one away
/// only after its owner has said that it let go, counts epochs, and fences who is behind. Its topics are known by id only until they are asked for.
/// It has no records. What it sees wrong in a request is a failure of the test.
/// </summary>
internal sealed class ConsumerGroupServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _topics;
    private readonly Dictionary<string, Member> _members = [];
    private readonly Dictionary<TopicPartition, string> _committed = [];
    private readonly List<Task> _connections = [];
    private readonly Task _accepting;
    private int _groupEpoch;

    public ConsumerGroupServer(params (string Topic, int PartitionCount)[] topics)
    {
        _topics = topics.ToDictionary(topic => topic.Topic, topic => topic.PartitionCount);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    private sealed class Member(string id)
    {
        public string Id { get; } = id;

        public string? InstanceId { get; set; }

        public int Epoch { get; set; }

        public List<string> Topics { get; set; } = [];

        public HashSet<TopicPartition> Target { get; set; } = [];

        /// <summary>What it may use.</summary>
        public HashSet<TopicPartition> Assigned { get; set; } = [];

        /// <summary>What it is to let go of, and has not said that it did.</summary>
        public HashSet<TopicPartition> Leaving { get; set; } = [];

        public HashSet<TopicPartition> ToldAssigned { get; set; } = [];

        /// <summary>What it says it owns.</summary>
        public HashSet<TopicPartition> Owned { get; set; } = [];
    }

    /// <summary>What is wrong with requests that came.</summary>
    public List<string> Complaints { get; } = [];

    /// <summary>Every request to ConsumerGroupHeartbeat, in the order in which they came.</summary>
    public List<ConsumerGroupHeartbeatRequest> Heartbeats { get; } = [];

    /// <summary>How often Metadata was asked for topics by their ids.</summary>
    public int QuestionsById { get; private set; }

    /// <summary>An answer in place of the server's own; null where it has none.</summary>
    public Func<ConsumerGroupHeartbeatRequest, ErrorCode?> Refuse { get; set; } = static _ => null;

    /// <summary>Whether ApiVersions names the API of the protocol.</summary>
    public bool IsOffered { get; set; } = true;

    /// <summary>How the first commit is answered.</summary>
    public ErrorCode? NextCommitError { get; set; }

    public IReadOnlyDictionary<TopicPartition, string> Committed
    {
        get
        {
            lock (_gate)
            {
                return new Dictionary<TopicPartition, string>(_committed);
            }
        }
    }

    public int MemberCount
    {
        get
        {
            lock (_gate)
            {
                return _members.Count;
            }
        }
    }

    public KafkaClient CreateClient(Microsoft.Extensions.Logging.ILoggerFactory? loggers = null) => new(
        new KafkaClientOptions { BootstrapServers = $"127.0.0.1:{Port}", AllowAutoCreateTopics = false },
        TimeProvider.System,
        loggers ?? Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);

    private int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Has every member fenced at its next heartbeat, as after a session that ended.</summary>
    public void FenceAll()
    {
        lock (_gate)
        {
            foreach (Member member in _members.Values)
            {
                member.Epoch = int.MaxValue;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        await Task.WhenAll(_connections);
        _listener.Dispose();
        _stop.Dispose();
    }

    private static Guid IdOf(string topic) => new(topic.Length, 0, 0, [.. System.Text.Encoding.ASCII.GetBytes(topic.PadRight(8))[..8]]);

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                _connections.Add(ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using TcpClient owned = client;
        NetworkStream stream = client.GetStream();
        byte[] size = new byte[sizeof(int)];
        try
        {
            while (true)
            {
                await stream.ReadExactlyAsync(size, _stop.Token);
                byte[] frame = new byte[BinaryPrimitives.ReadInt32BigEndian(size)];
                await stream.ReadExactlyAsync(frame, _stop.Token);
                if (!MessageCodec.TryReadRequestHeader(frame, out RequestHeader header, out int bodyStart, out string? error))
                {
                    throw new InvalidOperationException(error);
                }

                IMessage response = Answer(header, frame.AsMemory(bodyStart), out ApiDefinition api);
                FrameBuffer answer = MessageCodec.WriteResponse(response, api, header.Version, header.CorrelationId);
                await stream.WriteAsync(answer.Bytes, _stop.Token);
                answer.Release();
            }
        }
        catch (Exception end) when (end is IOException or OperationCanceledException or SocketException)
        {
            // The client is gone, or the test is over.
        }
        catch (Exception defect)
        {
            lock (_gate)
            {
                Complaints.Add(defect.ToString());
            }
        }
    }

    private IMessage Answer(RequestHeader header, ReadOnlyMemory<byte> body, out ApiDefinition api)
    {
        api = KafkaApis.Find(header.Key)!;
        lock (_gate)
        {
            return header.Key switch
            {
                ApiKey.ApiVersions => Versions(),
                ApiKey.Metadata => Describe(Read<MetadataRequest>(body, header)),
                ApiKey.FindCoordinator => new FindCoordinatorResponse
                {
                    Coordinators = [.. Read<FindCoordinatorRequest>(body, header).CoordinatorKeys.Select(key => new Coordinator { Key = key, NodeId = 1, Host = "127.0.0.1", Port = Port })],
                },
                ApiKey.ConsumerGroupHeartbeat => Heartbeat(Read<ConsumerGroupHeartbeatRequest>(body, header)),
                ApiKey.OffsetFetch => Fetch(Read<OffsetFetchRequest>(body, header)),
                ApiKey.OffsetCommit => Commit(Read<OffsetCommitRequest>(body, header)),
                ApiKey.ListOffsets => new ListOffsetsResponse
                {
                    Topics = [.. Read<ListOffsetsRequest>(body, header).Topics.Select(topic => new ListOffsetsTopicResponse
                    {
                        Name = topic.Name,
                        Partitions = [.. topic.Partitions.Select(partition => new ListOffsetsPartitionResponse { Index = partition.Index, Offset = 0 })],
                    })],
                },
                ApiKey.Fetch => new FetchResponse(),

                // The classic protocol, for members that fall back: one member, which shares out as it likes.
                ApiKey.JoinGroup => Join(Read<JoinGroupRequest>(body, header)),
                ApiKey.SyncGroup => new SyncGroupResponse { Assignment = Read<SyncGroupRequest>(body, header).Assignments[0].Assignment },
                ApiKey.Heartbeat => new HeartbeatResponse(),
                ApiKey.LeaveGroup => new LeaveGroupResponse(),
                _ => throw new NotSupportedException(header.Key.ToString()),
            };
        }
    }

    private static TRequest Read<TRequest>(ReadOnlyMemory<byte> body, RequestHeader header)
        where TRequest : class, IRequest, new() =>
        MessageCodec.TryReadRequest(body, header.Version, out TRequest? request, out string? error) ? request : throw new InvalidOperationException(error);

    private ApiVersionsResponse Versions() => new()
    {
        ApiKeys =
        [
            .. KafkaApis.All.Where(api => IsOffered || api.Key != ApiKey.ConsumerGroupHeartbeat)
                .Select(api => new ApiVersionRange { Key = api.Key, MinVersion = api.MinVersion, MaxVersion = api.MaxVersion }),
        ],
    };

    private MetadataResponse Describe(MetadataRequest request)
    {
        QuestionsById += request.Topics?.Exists(topic => topic.Name is null) == true ? 1 : 0;
        return new MetadataResponse
        {
            ControllerId = 1,
            Brokers = [new MetadataBroker { NodeId = 1, Host = "127.0.0.1", Port = Port }],
            Topics = [.. _topics
                .Where(topic => request.Topics is null || request.Topics.Exists(asked => asked.Name == topic.Key || (asked.Name is null && asked.TopicId == IdOf(topic.Key))))
                .Select(topic => new MetadataTopic
                {
                    Name = topic.Key,
                    TopicId = IdOf(topic.Key),
                    Partitions = [.. Enumerable.Range(0, topic.Value).Select(partition => new MetadataPartition { Index = partition, LeaderId = 1, LeaderEpoch = 0 })],
                })],
        };
    }

    private static JoinGroupResponse Join(JoinGroupRequest request) => new()
    {
        GenerationId = 1,
        ProtocolType = "consumer",
        ProtocolName = request.Protocols[0].Name,
        MemberId = "classic",
        Leader = "classic",
        Members = [new JoinGroupMember { MemberId = "classic", Metadata = request.Protocols[0].Metadata }],
    };

    private ConsumerGroupHeartbeatResponse Heartbeat(ConsumerGroupHeartbeatRequest request)
    {
        Heartbeats.Add(request);
        if (Refuse(request) is { } refusal)
        {
            return new ConsumerGroupHeartbeatResponse { ErrorCode = refusal, ErrorMessage = "as the test has it" };
        }

        Member? member = _members.GetValueOrDefault(request.MemberId);
        if (request.MemberEpoch < 0)
        {
            _members.Remove(request.MemberId);
            ShareOut();
            return new ConsumerGroupHeartbeatResponse { MemberId = request.MemberId, MemberEpoch = request.MemberEpoch };
        }

        if (request.MemberEpoch == 0)
        {
            if (request.MemberId.Length == 0 || request.SubscribedTopicNames is null || request.RebalanceTimeoutMilliseconds < 0 || request.TopicPartitions is not { Count: 0 })
            {
                Complaints.Add("A member joins without all that it must say.");
            }

            member = _members[request.MemberId] = new Member(request.MemberId) { InstanceId = request.InstanceId };
        }
        else if (member is null)
        {
            return new ConsumerGroupHeartbeatResponse { ErrorCode = ErrorCode.UnknownMemberId };
        }
        else if (request.MemberEpoch != member.Epoch)
        {
            _members.Remove(request.MemberId);
            ShareOut();
            return new ConsumerGroupHeartbeatResponse { ErrorCode = ErrorCode.FencedMemberEpoch };
        }

        if (request.SubscribedTopicNames is { } topics)
        {
            member.Topics = topics;
            ShareOut();
        }

        if (request.TopicPartitions is { } owned)
        {
            member.Owned = [.. owned.SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(NameOf(topic.TopicId), partition)))];
            TopicPartition[] strange = [.. member.Owned.Except(member.Assigned).Except(member.Leaving)];
            if (strange.Length > 0)
            {
                Complaints.Add($"{member.Id} owns what it was not given: {string.Join(',', strange)}.");
            }
        }

        return Reconcile(member, request.TopicPartitions is not null);
    }

    /// <summary>
    /// A member that has what is not its target is told to let go, and stays in its epoch until it says that it has. Then it gets of its target what
    /// nobody else has, and what is still to be freed as it comes.
    /// </summary>
    private ConsumerGroupHeartbeatResponse Reconcile(Member member, bool saysWhatItOwns)
    {
        if (saysWhatItOwns && !member.Owned.Overlaps(member.Leaving))
        {
            member.Leaving.Clear();
        }

        if (member.Leaving.Count == 0)
        {
            HashSet<TopicPartition> assigned = [.. member.Assigned.Intersect(member.Target)];
            member.Leaving = [.. member.Assigned.Except(member.Target)];
            member.Assigned = assigned;
            if (member.Leaving.Count == 0)
            {
                member.Assigned.UnionWith(member.Target.Where(partition => _members.Values.All(other =>
                    other == member || !(other.Assigned.Contains(partition) || other.Leaving.Contains(partition)))));
                member.Epoch = _groupEpoch;
            }
        }

        // Of a member that joins: it has nothing to let go of, and is in the group's epoch.
        bool isChanged = !member.Assigned.SetEquals(member.ToldAssigned);
        member.ToldAssigned = [.. member.Assigned];
        return new ConsumerGroupHeartbeatResponse
        {
            MemberId = member.Id,
            MemberEpoch = member.Epoch,
            HeartbeatIntervalMilliseconds = 50,
            Assignment = !isChanged ? null : new ConsumerGroupAssignment
            {
                TopicPartitions = [.. member.Assigned.GroupBy(partition => partition.Topic).Select(topic => new ConsumerGroupTopicPartitions
                {
                    TopicId = IdOf(topic.Key),
                    Partitions = [.. topic.Select(partition => partition.Partition)],
                })],
            },
        };
    }

    private string NameOf(Guid id) => _topics.Keys.Single(topic => IdOf(topic) == id);

    private void ShareOut()
    {
        _groupEpoch++;
        Dictionary<string, List<TopicPartition>> shares = Assignors.Assign(
            PartitionAssignor.Sticky,
            [.. _members.Values.Select(member => new MemberSubscription(member.Id, null, member.Topics, member.Target, _groupEpoch))],
            _topics);
        foreach (Member member in _members.Values)
        {
            member.Target = [.. shares[member.Id]];
        }
    }

    private OffsetFetchResponse Fetch(OffsetFetchRequest request)
    {
        OffsetFetchGroup asked = request.Groups[0];
        bool isStale = asked.MemberId is { } id && (!_members.TryGetValue(id, out Member? member) || member.Epoch != asked.MemberEpoch);
        return new OffsetFetchResponse
        {
            Groups = [new OffsetFetchGroupResponse
            {
                GroupId = asked.GroupId,
                ErrorCode = isStale ? ErrorCode.StaleMemberEpoch : ErrorCode.None,
                Topics = isStale ? [] : [.. asked.Topics!.Select(topic => new OffsetFetchTopicResponse
                {
                    Name = topic.Name,
                    Partitions = [.. topic.Partitions.Select(partition => new OffsetFetchPartitionResponse { Index = partition, CommittedOffset = -1 })],
                })],
            }],
        };
    }

    private OffsetCommitResponse Commit(OffsetCommitRequest request)
    {
        ErrorCode error = _members.TryGetValue(request.MemberId, out Member? member)
            ? request.GenerationId == member.Epoch ? ErrorCode.None : ErrorCode.StaleMemberEpoch
            : ErrorCode.UnknownMemberId;
        error = NextCommitError ?? error;
        NextCommitError = null;
        foreach (OffsetCommitTopic topic in error == ErrorCode.None ? request.Topics : [])
        {
            foreach (OffsetCommitPartition partition in topic.Partitions)
            {
                _committed[new TopicPartition(topic.Name, partition.Index)] = $"{partition.CommittedOffset} by {request.MemberId}";
            }
        }

        return new OffsetCommitResponse
        {
            Topics = [.. request.Topics.Select(topic => new OffsetCommitTopicResponse
            {
                Name = topic.Name,
                Partitions = [.. topic.Partitions.Select(partition => new OffsetCommitPartitionResponse { Index = partition.Index, ErrorCode = error })],
            })],
        };
    }
}
