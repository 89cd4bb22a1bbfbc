using Millrace.Kafka.Records;

namespace Millrace.Kafka.Tests;

public sealed class AssignorsTests
{
    [Fact]
    public void Range_gives_the_first_members_one_more_and_the_same_range_of_each_topic()
    {
        Dictionary<string, List<TopicPartition>> result = Assign(PartitionAssignor.Range, new() { ["b"] = ["t", "u"], ["a"] = ["t", "u"] }, ("t", 3), ("u", 3));
        Assert.Equal("t-0,t-1,u-0,u-1", Text(result["a"]));
        Assert.Equal("t-2,u-2", Text(result["b"]));
    }

    [Fact]
    public void Range_leaves_out_who_does_not_subscribe_and_members_beyond_the_partitions()
    {
        Dictionary<string, List<TopicPartition>> result = Assign(
            PartitionAssignor.Range, new() { ["a"] = ["t"], ["b"] = ["u"], ["c"] = ["t"], ["d"] = ["t", "missing"] }, ("t", 2), ("u", 1));
        Assert.Equal(["t-0", "u-0", "t-1", ""], result.Values.Select(Text));
    }

    [Fact]
    public void Round_robin_deals_out_all_partitions_in_turn()
    {
        Dictionary<string, List<TopicPartition>> result = Assign(
            PartitionAssignor.RoundRobin, new() { ["a"] = ["t", "u"], ["b"] = ["t", "u"] }, ("t", 3), ("u", 3));
        Assert.Equal(["t-0,t-2,u-1", "t-1,u-0,u-2"], result.Values.Select(Text));
    }

    [Fact]
    public void Round_robin_passes_over_members_that_do_not_subscribe()
    {
        Dictionary<string, List<TopicPartition>> result = Assign(PartitionAssignor.RoundRobin, new() { ["a"] = ["t"], ["b"] = ["u"], ["c"] = ["t", "u"] }, ("t", 3), ("u", 2));
        Assert.Equal(["t-0,t-2", "u-0", "t-1,u-1"], result.Values.Select(Text));
    }

    private static Dictionary<string, List<TopicPartition>> Assign(
        PartitionAssignor assignor, Dictionary<string, string[]> subscriptions, params (string Topic, int Count)[] topics) =>
        Assignors.Assign(
            assignor,
            subscriptions.ToDictionary(pair => pair.Key, pair => (IReadOnlyCollection<string>)pair.Value),
            topics.ToDictionary(topic => topic.Topic, topic => topic.Count));

    private static string Text(List<TopicPartition> partitions) => string.Join(',', partitions);
}
