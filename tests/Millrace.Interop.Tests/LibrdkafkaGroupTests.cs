using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>Groups of librdkafka's consumer beyond what kcat offers: static members and cooperative rebalances.</summary>
public sealed class LibrdkafkaGroupTests
{
    private const int PartitionCount = 4;

    [Fact]
    public async Task A_static_member_that_comes_back_finds_its_partitions_and_the_other_member_keeps_its_own()
    {
        Librdkafka.Require();
        await using StandaloneBroker broker = await StartAsync();
        using NativeConsumer stays = Join(broker, "stays", ("group.instance.id", "stays"));
        NativeConsumer restarts = Join(broker, "restarts", ("group.instance.id", "restarts"));
        await BalanceAsync([stays, restarts]);
        (IReadOnlyList<int> itsOwn, IReadOnlyList<int> theOther) = (restarts.Assignment, stays.Assignment);

        restarts.Dispose();
        using NativeConsumer restarted = Join(broker, "restarted", ("group.instance.id", "restarts"));
        restarted.PollUntil("assigned again", _ => restarted.Assignment.Count > 0);

        Assert.Equal(itsOwn, restarted.Assignment);
        Assert.Equal(theOther, stays.Assignment);
        stays.Poll();
        Assert.Equal(theOther, stays.Assignment);
    }

    [Fact]
    public async Task A_cooperative_group_shares_its_partitions_and_takes_them_back_from_a_member_that_leaves()
    {
        Librdkafka.Require();
        await using StandaloneBroker broker = await StartAsync();
        (string, string) cooperative = ("partition.assignment.strategy", "cooperative-sticky");
        using NativeConsumer first = Join(broker, "first", cooperative);
        first.PollUntil("alone with all partitions", _ => first.Assignment.Count == PartitionCount);
        using NativeConsumer second = Join(broker, "second", cooperative);
        await BalanceAsync([first, second]);
        Assert.Empty(first.Assignment.Intersect(second.Assignment));

        second.Close();

        first.PollUntil("alone with all partitions again", _ => first.Assignment.Count == PartitionCount);
    }

    private static async Task<StandaloneBroker> StartAsync()
    {
        StandaloneBroker broker = await StandaloneBroker.StartAsync("--partitions", $"{PartitionCount}");
        using NativeProducer producer = new(broker);
        producer.Produce("shared", "first");
        producer.WaitForDeliveries(1);
        return broker;
    }

    private static NativeConsumer Join(StandaloneBroker broker, string name, params (string, string)[] settings)
        => new(broker, "shared", [("group.id", "readers"), ("client.id", name), ("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "200"), .. settings]);

    /// <summary>Polls the members, each on its own thread as the library asks, until each has its share.</summary>
    private static Task BalanceAsync(IEnumerable<NativeConsumer> members)
        => Task.WhenAll(members.Select(member =>
            Task.Run(() => member.PollUntil("sharing the partitions", _ => member.Assignment.Count == PartitionCount / 2))));
}
