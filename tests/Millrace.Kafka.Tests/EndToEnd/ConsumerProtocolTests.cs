using System.Text.RegularExpressions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

/// <summary>The protocol of KIP-848 against a server on a socket that coordinates by it.</summary>
public sealed class ConsumerProtocolTests
{
    [Fact]
    public async Task Members_come_and_go_and_no_partition_is_anybodys_twice()
    {
        await using var server = new ConsumerGroupServer(("orders", 6), ("payments", 2));
        await using KafkaClient client = server.CreateClient();
        var owners = new Owners();
        KafkaConsumer one = client.CreateConsumer(Options());
        await one.SubscribeAsync(["orders"], owners.Listener("one"), Until.Timeout());
        await Until.TrueAsync(() => one.Assignment.Count == 6, "everything");
        KafkaConsumer two = client.CreateConsumer(Options());
        await two.SubscribeAsync(["orders"], owners.Listener("two"), Until.Timeout());
        KafkaConsumer three = client.CreateConsumer(Options());
        await three.SubscribeAsync(["orders"], owners.Listener("three"), Until.Timeout());
        await Until.TrueAsync(() => one.Assignment.Count == 2 && two.Assignment.Count == 2 && three.Assignment.Count == 2, "two partitions each");
        Assert.Equal(6, one.Assignment.Concat(two.Assignment).Concat(three.Assignment).Distinct().Count());
        TopicPartition[] kept = [.. one.Assignment];

        await two.DisposeAsync();
        await Until.TrueAsync(() => one.Assignment.Count == 3 && three.Assignment.Count == 3, "the share of the one that left");
        Assert.Empty(kept.Except(one.Assignment));
        await three.SubscribeAsync(["payments"], owners.Listener("three"), Until.Timeout());
        await Until.TrueAsync(() => one.Assignment.Count == 6 && three.Assignment.Count == 2 && three.Assignment.All(partition => partition.Topic == "payments"), "the new topics");
        await one.DisposeAsync();
        await three.DisposeAsync();
        Assert.Equal(0, server.MemberCount);
        Assert.Empty(owners.Conflicts);
        Assert.Empty(server.Complaints);
        Assert.Equal([-1, -1, -1], server.Heartbeats.Where(request => request.MemberEpoch < 0).Select(request => request.MemberEpoch));
    }

    [Fact]
    public async Task Each_member_has_an_id_of_its_own_making_and_topics_are_found_by_theirs()
    {
        await using var server = new ConsumerGroupServer(("orders", 1));
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer one = client.CreateConsumer(Options());
        await using KafkaConsumer two = client.CreateConsumer(Options());
        await Task.WhenAll(one.SubscribeAsync(["orders"], null, Until.Timeout()), two.SubscribeAsync(["orders"], null, Until.Timeout()));
        Assert.Equal(22, one.GroupMetadata.MemberId.Length);
        Assert.NotEqual(one.GroupMetadata.MemberId, two.GroupMetadata.MemberId);
        Assert.True(server.QuestionsById > 0 || one.Assignment.Concat(two.Assignment).Any());
        await Until.TrueAsync(() => one.Assignment.Count + two.Assignment.Count == 1, "the one partition");
    }

    [Theory]
    [InlineData(true, "orders")]
    [InlineData(false, "orders")]
    [InlineData(true, "orders", "absent")]
    public async Task A_subscription_that_brings_nothing_is_in_place_when_the_group_knows_of_it(bool isOffered, params string[] topics)
    {
        await using var server = new ConsumerGroupServer(("orders", 2)) { IsOffered = isOffered };
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        var listener = new RecordingListener();
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions");
        int callCount = listener.Calls.Count;
        await consumer.SubscribeAsync(topics, listener, Until.Timeout());
        Assert.Equal(callCount, listener.Calls.Count);
        Assert.Equal(2, consumer.Assignment.Count);
        Assert.True(topics.Length == 1 || server.Heartbeats.Exists(static request => request.SubscribedTopicNames is { Count: 2 }));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_pattern_that_matches_what_was_named_before_is_in_place_at_once(bool isOffered)
    {
        await using var server = new ConsumerGroupServer(("orders", 2), ("payments", 2)) { IsOffered = isOffered };
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        await consumer.SubscribeAsync(new Regex("^ord", RegexOptions.None, Until.Limit), null, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions");
    }

    [Fact]
    public async Task A_pattern_that_matches_nothing_yet_is_no_refusal_where_nobody_enters_without_topics()
    {
        // As Kafka 3.7 to 3.9.
        await using var server = new ConsumerGroupServer(("orders", 2))
        {
            Refuse = static request => request is { MemberEpoch: 0, SubscribedTopicNames: not { Count: > 0 } } ? ErrorCode.InvalidRequest : null,
        };
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        await consumer.SubscribeAsync(new Regex("^payments", RegexOptions.None, Until.Limit), null, Until.Timeout());
        Assert.Empty(consumer.Assignment);
        await consumer.SubscribeAsync(new Regex("^orders", RegexOptions.None, Until.Limit), null, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions");
        await consumer.SubscribeAsync(new Regex("^payments", RegexOptions.None, Until.Limit), null, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 0, "no partition");
        Assert.Empty(server.Complaints);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_topic_at_whose_name_a_pattern_times_out_does_not_match_and_the_member_lives_on(bool isOffered)
    {
        string hard = new string('a', 60) + ".";
        await using var server = new ConsumerGroupServer((hard, 1), ("orders", 2)) { IsOffered = isOffered };
        using var loggers = new RecordingLoggers();
        await using KafkaClient client = server.CreateClient(loggers);
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        var pattern = new Regex("^(ord|(a+)+$)", RegexOptions.None, TimeSpan.FromMilliseconds(20));
        Assert.Throws<RegexMatchTimeoutException>(() => pattern.IsMatch(hard));
        await consumer.SubscribeAsync(pattern, null, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions of the topic that matches");
        Assert.Single(loggers.Lines, line => line.Contains($"'{hard}'", StringComparison.Ordinal) && line.Contains("match time-out", StringComparison.Ordinal));
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
    }

    [Fact]
    public async Task Commits_carry_the_member_epoch_and_are_repeated_under_a_newer_one_while_the_partition_stays()
    {
        await using var server = new ConsumerGroupServer(("orders", 2));
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions");
        server.NextCommitError = ErrorCode.StaleMemberEpoch;
        var partition = new TopicPartition("orders", 1);
        await consumer.CommitAsync([new TopicPartitionOffset(partition, new Offset(7))], Until.Timeout());
        Assert.Equal($"7 by {consumer.GroupMetadata.MemberId}", server.Committed[partition]);

        server.NextCommitError = ErrorCode.FencedMemberEpoch;
        await Assert.ThrowsAsync<KafkaGroupFencedException>(() => consumer.CommitAsync([new TopicPartitionOffset(partition, new Offset(8))], Until.Timeout()));
    }

    [Fact]
    public async Task A_member_that_is_fenced_loses_its_partitions_and_enters_again()
    {
        await using var server = new ConsumerGroupServer(("orders", 2));
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        var listener = new RecordingListener();
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions");
        string memberId = consumer.GroupMetadata.MemberId;
        server.FenceAll();
        await Until.TrueAsync(() => listener.Calls.Contains("lost 0,1"), "the loss");
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "the partitions again");
        Assert.Equal(memberId, consumer.GroupMetadata.MemberId);
        Assert.Empty(server.Complaints);
    }

    [Theory]
    [InlineData(ErrorCode.None)]
    [InlineData(ErrorCode.UnsupportedVersion)]
    [InlineData(ErrorCode.UnsupportedAssignor)]
    [InlineData(ErrorCode.GroupIdNotFound)]
    public async Task Where_it_is_not_offered_or_refused_though_it_is_the_member_lives_by_the_classic_protocol(ErrorCode refusal)
    {
        await using var server = new ConsumerGroupServer(("orders", 2)) { IsOffered = refusal != ErrorCode.None, Refuse = _ => refusal };
        await using KafkaClient client = server.CreateClient();
        KafkaConsumer consumer = client.CreateConsumer(Options());
        var listener = new RecordingListener();
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        Assert.Equal(("classic", 1), (consumer.GroupMetadata.MemberId, consumer.GroupMetadata.GenerationId));
        Assert.Equal(["assigned 0,1"], listener.Calls);
        Assert.Equal(refusal == ErrorCode.None ? 0 : 1, server.Heartbeats.Count);
        await consumer.DisposeAsync();
        Assert.Equal("revoked 0,1", listener.Calls.Last());
        Assert.Empty(server.Complaints);
    }

    [Fact]
    public async Task A_member_that_is_refused_for_another_reason_says_so_and_goes_on_trying()
    {
        await using var server = new ConsumerGroupServer(("orders", 2)) { Refuse = static _ => ErrorCode.GroupAuthorizationFailed };
        await using KafkaClient client = server.CreateClient();
        await using KafkaConsumer consumer = client.CreateConsumer(Options());
        KafkaBrokerException refusal = await Assert.ThrowsAsync<KafkaBrokerException>(() => consumer.SubscribeAsync(["orders"], null, Until.Timeout()));
        Assert.Equal(ErrorCode.GroupAuthorizationFailed, refusal.ErrorCode);
        Assert.Contains("as the test has it", refusal.Message, StringComparison.Ordinal);
        server.Refuse = static _ => null;
        await consumer.SubscribeAsync(["orders"], null, Until.Timeout());
        await Until.TrueAsync(() => consumer.Assignment.Count == 2, "both partitions");
    }

    [Theory]
    [InlineData(PartitionAssignor.Range)]
    [InlineData(PartitionAssignor.CooperativeSticky)]
    public async Task A_subscription_that_changes_while_partitions_come_waits_for_its_own(PartitionAssignor assignor)
    {
        await using var server = new ConsumerGroupServer(("orders", 2), ("payments", 2)) { IsOffered = false };
        await using KafkaClient client = server.CreateClient();
        ConsumerOptions options = Options();
        options.Assignors = [assignor];
        await using KafkaConsumer consumer = client.CreateConsumer(options);
        Task? second = null;
        var listener = new RecordingListener
        {
            OnAssigned = (_, _) =>
            {
                second ??= consumer.SubscribeAsync(["payments"], null, Until.Timeout());
                return ValueTask.CompletedTask;
            },
        };
        await consumer.SubscribeAsync(["orders"], listener, Until.Timeout());
        await second!;
        Assert.Equal(["payments-0", "payments-1"], consumer.Assignment.Select(static partition => partition.ToString()).Order());
    }

    private static ConsumerOptions Options() => new()
    {
        GroupId = "billing",
        GroupProtocol = GroupProtocol.Consumer,
        GroupRemoteAssignor = "uniform",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        FetchMaxWait = TimeSpan.FromMilliseconds(50),
        CloseTimeout = TimeSpan.FromSeconds(5),
    };

    /// <summary>Who owns what, as the applications are told.</summary>
    private sealed class Owners
    {
        private readonly Dictionary<TopicPartition, string> _owners = [];

        public List<string> Conflicts { get; } = [];

        public IRebalanceListener Listener(string name) => new RecordingListener
        {
            OnAssigned = (partitions, _) =>
            {
                lock (_owners)
                {
                    Conflicts.AddRange(partitions.Where(_owners.ContainsKey).Select(partition => $"{partition} is {_owners[partition]}'s, and given to {name}"));
                    foreach (TopicPartition partition in partitions)
                    {
                        _owners[partition] = name;
                    }
                }

                return ValueTask.CompletedTask;
            },
            OnRevoked = (partitions, _) =>
            {
                lock (_owners)
                {
                    foreach (TopicPartition partition in partitions)
                    {
                        _owners.Remove(partition);
                    }
                }

                return ValueTask.CompletedTask;
            },
        };
    }
}
