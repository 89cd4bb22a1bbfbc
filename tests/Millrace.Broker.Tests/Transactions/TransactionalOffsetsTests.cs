using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

/// <summary>Offsets that are committed in transactions.</summary>
public sealed class TransactionalOffsetsTests
{
    [Theory]
    [InlineData(TransactionProtocol.Classic, true)]
    [InlineData(TransactionProtocol.Classic, false)]
    [InlineData(TransactionProtocol.Implicit, true)]
    [InlineData(TransactionProtocol.Implicit, false)]
    internal async Task An_offset_counts_when_its_transaction_is_committed(TransactionProtocol protocol, bool isCommit)
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id", protocol);
        await producer.InitAsync();
        await client.CommitAsync(Commit("group", "orders", 3));
        Assert.Equal(ErrorCode.None, await producer.CommitOffsetAsync("group", "orders", 5));

        Assert.Equal((ErrorCode.None, 3), await FetchAsync(client, requireStable: false));
        Assert.Equal((ErrorCode.UnstableOffsetCommit, -1), await FetchAsync(client, requireStable: true));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit));

        Assert.Equal((ErrorCode.None, isCommit ? 5 : 3), await FetchAsync(client, requireStable: true));
        await broker.RestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal((ErrorCode.None, isCommit ? 5 : 3), await FetchAsync(again, requireStable: true));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_commit_outside_of_the_transaction_counts_if_it_came_later(bool isLater)
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        if (!isLater)
        {
            await client.CommitAsync(Commit("group", "orders", 9));
        }

        await producer.CommitOffsetAsync("group", "orders", 5);
        if (isLater)
        {
            await client.CommitAsync(Commit("group", "orders", 9));
        }

        await producer.EndAsync(isCommit: true);
        Assert.Equal((ErrorCode.None, isLater ? 9 : 5), await FetchAsync(client, requireStable: true));
        await broker.RestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal((ErrorCode.None, isLater ? 9 : 5), await FetchAsync(again, requireStable: true));
    }

    /// <summary>The tombstone stands in the log between the offset and the marker: so says every later start.</summary>
    [Fact]
    public void An_offset_that_is_deleted_while_its_transaction_is_committed_does_not_come_back()
    {
        TopicPartition orders = new("orders", 0);
        PendingOffsets pending = new();
        CommittedOffsets committed = new();
        pending.Add(7, 0, new PendingOffset("group", orders, new CommittedOffset(new Offset(5), CommittedOffset.UnknownLeaderEpoch, "", 0), new Offset(1)));
        Thread deleting = new(() =>
        {
            pending.Delete("group", orders, new Offset(2));
            committed.Apply("group", orders, offset: null, new Offset(2));
        });

        pending.End(7, 0, offset =>
        {
            deleting.Start();
            Conditions.BecomesTrue(() => deleting.ThreadState.HasFlag(ThreadState.WaitSleepJoin) || deleting.ThreadState.HasFlag(ThreadState.Stopped), "it waits, or is done");
            committed.Apply(offset.GroupId, offset.Partition, offset.Offset, offset.Position);
        });

        Assert.True(deleting.Join(TestClient.Patience));
        Assert.False(committed.Contains("group"));
        Assert.False(pending.IsPending("group", orders));
    }

    [Fact]
    public async Task A_commit_of_a_member_is_told_to_come_again_where_the_broker_stops_before_its_group_is_found()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await client.JoinAsync("group");
        await client.SyncAsync(Sync("group", joined, (joined.MemberId, "all")));
        GroupCoordinator groups = broker.Broker.Groups;
        CommittedOffset offset = new(new Offset(5), CommittedOffset.UnknownLeaderEpoch, "", 0);

        groups.Stop();

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, groups.CommitInTransaction(
            "group", new MemberName(joined.MemberId), joined.GenerationId, new ProducerIdentity(7, 0), [new(new TopicPartition("orders", 0), offset)]));
    }

    [Fact]
    public async Task An_offset_of_an_open_transaction_is_still_pending_after_a_restart_and_counts_when_that_is_committed()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        TransactionClient before;
        await using (TestClient client = broker.Connect())
        {
            before = new TransactionClient(client, "id");
            await before.InitAsync();
            await before.CommitOffsetAsync("group", "orders", 5);
        }

        await broker.RestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal((ErrorCode.UnstableOffsetCommit, -1), await FetchAsync(again, requireStable: true));
        TransactionClient after = new(again, "id") { Producer = before.Producer };
        Assert.Equal(ErrorCode.None, await after.EndAsync(isCommit: true));
        Assert.Equal((ErrorCode.None, 5), await FetchAsync(again, requireStable: true));
    }

    [Fact]
    public async Task After_a_loss_of_power_an_offset_of_an_open_transaction_is_gone()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using (TestClient client = broker.Connect())
        {
            TransactionClient producer = new(client, "id");
            await producer.InitAsync();
            await producer.CommitOffsetAsync("group", "orders", 5);
        }

        await broker.LosePowerAndRestartAsync();
        await using TestClient again = broker.Connect();
        Assert.Equal((ErrorCode.None, -1), await FetchAsync(again, requireStable: true));
    }

    [Fact]
    public async Task Who_commits_for_a_member_that_is_none_is_told_so()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse joined = await client.JoinAsync("group");
        await client.SyncAsync(Sync("group", joined, (joined.MemberId, "x")));
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await producer.AddOffsetsAsync("group");

        Assert.Equal(ErrorCode.IllegalGeneration, await producer.SendOffsetAsync("group", "orders", 5, joined.MemberId, joined.GenerationId - 1));
        Assert.Equal(ErrorCode.UnknownMemberId, await producer.SendOffsetAsync("group", "orders", 5, "somebody", joined.GenerationId));
        Assert.Equal(ErrorCode.IllegalGeneration, await producer.CommitOffsetAsync("no group", "orders", 5, "somebody", 1));
        Assert.Equal(ErrorCode.None, await producer.SendOffsetAsync("group", "orders", 5, joined.MemberId, joined.GenerationId));

        // Clients of before KIP-447 name no member.
        Assert.Equal(ErrorCode.None, await producer.SendOffsetAsync("group", "orders", 6));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        Assert.Equal((ErrorCode.None, 6), await FetchAsync(client, requireStable: true));
    }

    [Fact]
    public async Task A_static_member_whose_place_another_one_took_is_fenced()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        JoinGroupResponse first = await client.JoinAsync(Join("group", instanceId: "one"));
        await client.SyncAsync(Sync("group", first, (first.MemberId, "x")));
        JoinGroupResponse second = await client.JoinAsync(Join("group", instanceId: "one"));
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        await producer.AddOffsetsAsync("group");

        Assert.Equal(ErrorCode.FencedInstanceId, await producer.SendOffsetAsync("group", "orders", 5, first.MemberId, first.GenerationId, "one"));
        Assert.Equal(ErrorCode.None, await producer.SendOffsetAsync("group", "orders", 5, second.MemberId, second.GenerationId, "one"));
    }

    [Fact]
    public async Task An_older_client_has_to_add_the_offsets_first()
    {
        await using TestBroker broker = await TransactionApiTests.StartAsync();
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.InvalidTxnState, await producer.SendOffsetAsync("group", "orders", 5));
        Assert.Equal((ErrorCode.None, -1), await FetchAsync(client, requireStable: true));
    }

    internal static async Task<(ErrorCode Error, long Offset)> FetchAsync(TestClient client, bool requireStable)
    {
        OffsetFetchResponse response = await client.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(
            new OffsetFetchRequest { GroupId = "group", RequireStable = requireStable, Topics = [new OffsetFetchTopic { Name = "orders", Partitions = [0] }] }, 7);
        OffsetFetchPartitionResponse partition = response.Topics[0].Partitions[0];
        return (partition.ErrorCode, partition.CommittedOffset);
    }
}
