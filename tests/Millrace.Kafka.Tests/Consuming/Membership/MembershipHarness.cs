using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>Drives one membership by hand: takes what it wants done, and answers in the test's words. Time stands still unless the test moves it.</summary>
internal sealed class MembershipHarness
{
    private static readonly BrokerAddress Coordinator = new("coordinator", 1);

    private readonly List<GroupCall> _calls = [];
    private int _memberIdCount;

    public MembershipHarness(ConsumerOptions options, string? memberId = null)
    {
        options.GroupId ??= "billing";
        Settings = ConsumerSettings.From(options);
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), new Chance(new Random(1)));
        Member = memberId is null
            ? new ClassicMembership(Settings, backoff, TimeSpan.FromSeconds(30), NullLogger.Instance)
            : new ConsumerMembership(() => _memberIdCount++ == 0 ? memberId : $"{memberId}-{_memberIdCount}", Settings, backoff, TimeSpan.FromSeconds(30), NullLogger.Instance);
    }

    public ConsumerSettings Settings { get; }

    public Membership Member { get; }

    public TimeSpan Now { get; set; }

    public ClusterView View { get; private set; } = ClusterView.Empty;

    /// <summary>What the application hears, in order; "!" says that it was told to hurry.</summary>
    public List<string> Heard { get; } = [];

    public RebalanceCall? Notice { get; private set; }

    /// <summary>What is not to be handed out any more, as of the latest loss.</summary>
    public string? Lost { get; private set; }

    public IReadOnlyCollection<string>? TopicsToFind { get; private set; }

    public IReadOnlyCollection<Guid>? TopicIdsToFind { get; private set; }

    public List<Exception> Refusals { get; } = [];

    public TimeSpan? WakeAt { get; private set; }

    public IReadOnlyList<GroupCall> Calls => _calls;

    /// <summary>Takes the calls that were asked for since the last time.</summary>
    public IReadOnlyList<GroupCall> TakeCalls()
    {
        GroupCall[] calls = [.. _calls];
        _calls.Clear();
        return calls;
    }

    /// <summary>Describes the cluster: topics by name, each with its partition count.</summary>
    public void Describe(params (string Topic, int PartitionCount)[] topics)
    {
        View = ClusterView.Empty.Merge(new MetadataResponse
        {
            Topics = [.. topics.Select(topic => new MetadataTopic
            {
                Name = topic.Topic,
                TopicId = IdOf(topic.Topic),
                Partitions = [.. Enumerable.Range(0, topic.PartitionCount).Select(partition => new MetadataPartition { Index = partition })],
            })],
        });
        Run();
    }

    /// <summary>The id that <see cref="Describe"/> gives to a topic.</summary>
    public static Guid IdOf(string topic) => new(topic[0], 0, 0, [1, 0, 0, 0, 0, 0, 0, 0]);

    public void Run()
    {
        var effects = new MembershipEffects();
        Member.Advance(View, Now, effects);
        _calls.AddRange(effects.Calls);
        Lost = effects.Lost is null ? Lost : Text(effects.Lost);
        if (effects.CancelsNotice)
        {
            Heard.Add("!");
        }

        if (effects.Notice is { } notice)
        {
            Assert.Null(Notice);
            Notice = notice;
            Heard.Add($"{notice.Notice} {Text(notice.Partitions)}".TrimEnd());
        }

        TopicsToFind = effects.TopicsToFind ?? TopicsToFind;
        TopicIdsToFind = effects.TopicIdsToFind ?? TopicIdsToFind;
        if (effects.Refusal is not null)
        {
            Refusals.Add(effects.Refusal);
        }

        WakeAt = effects.WakeAt;
    }

    public void Wait(TimeSpan time)
    {
        Now += time;
        Run();
    }

    public void EndNotice()
    {
        Assert.NotNull(Notice);
        Notice = null;
        Member.NoticeEnded(Now);
        Run();
    }

    /// <summary>Ends every notice as it comes.</summary>
    public void EndNotices()
    {
        while (Notice is not null)
        {
            EndNotice();
        }
    }

    public TRequest Pending<TRequest>()
        where TRequest : class => (TRequest)_calls.Single(call => call.Request is TRequest).Request;

    public bool IsPending<TRequest>() => _calls.Exists(call => call.Request is TRequest);

    public void Answer<TRequest>(IMessage response)
    {
        GroupCall call = Take<TRequest>();
        Member.Answered(call, response, Coordinator, Now);
        Run();
    }

    public void Fail<TRequest>(Exception failure)
    {
        GroupCall call = Take<TRequest>();
        Member.Failed(call, failure, Now);
        Run();
    }

    public GroupCall Take<TRequest>()
    {
        GroupCall call = _calls.Single(candidate => candidate.Request is TRequest);
        _calls.Remove(call);
        return call;
    }

    public void FindTopics(Exception? failure = null)
    {
        Assert.NotNull(TopicsToFind);
        TopicsToFind = null;
        Member.TopicsFound(View, failure, Now);
        Run();
    }

    /// <summary>Answers a join as one of several members.</summary>
    public void Joined(int generation, string protocol = "range", bool isLeader = false, bool skipsAssignment = false, params JoinGroupMember[] members) =>
        Answer<JoinGroupRequest>(new JoinGroupResponse
        {
            GenerationId = generation,
            ProtocolName = protocol,
            MemberId = "me",
            Leader = isLeader ? "me" : "other",
            SkipAssignment = skipsAssignment,
            Members = [.. members],
        });

    public void Synced(params string[] partitions) => Answer<SyncGroupRequest>(new SyncGroupResponse
    {
        Assignment = MessageCodec.WriteData(
            new ConsumerProtocolAssignment { AssignedPartitions = MemberSubscription.Group(partitions.Select(Partition)) }, version: 1),
    });

    /// <summary>A member of generation 1 that has these partitions, and has told the application.</summary>
    public void Enter(string protocol, params string[] partitions)
    {
        Member.Subscribe([.. partitions.Select(partition => Partition(partition).Topic).Distinct()]);
        Run();
        Joined(1, protocol);
        Synced(partitions);
        EndNotices();
        Heard.Clear();
    }

    public void Heartbeat(ErrorCode error = ErrorCode.None)
    {
        if (!IsPending<HeartbeatRequest>())
        {
            Wait(Settings.HeartbeatInterval);
        }

        Answer<HeartbeatRequest>(new HeartbeatResponse { ErrorCode = error });
    }

    public static ConsumerProtocolSubscription SubscriptionOf(JoinGroupRequest request)
    {
        Assert.True(ConsumerProtocolSubscription.TryRead(request.Protocols[0].Metadata, out ConsumerProtocolSubscription? subscription, out string? error), error);
        return subscription;
    }

    public static string OwnedIn(JoinGroupRequest request) => Text(MemberSubscription.Flatten(SubscriptionOf(request).OwnedPartitions));

    public static TopicPartition Partition(string text)
    {
        int dash = text.LastIndexOf('-');
        return new TopicPartition(text[..dash], int.Parse(text[(dash + 1)..]));
    }

    public static string Text(IEnumerable<TopicPartition> partitions) => string.Join(',', partitions.Select(partition => partition.ToString()).Order());
}
