using System.Text;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Workflows.Tests;

/// <summary>Who owned a partition of histories, and what of its records counts.</summary>
public sealed class SagaHistoryLogTests
{
    /// <summary>Records by key and value, an owner's as its epoch alone; what they come to: each instance's values in their order, and how many do not count.</summary>
    public static TheoryData<string[], int, string, int> Rows => new()
    {
        { [], 0, "", 0 },
        { ["owner=1", "a/0@1=x", "a/1@1=y", "b/0@1=z"], 1, "a:x,y b:z", 0 },
        { ["owner=1", "a/0@1=x", "owner=2", "a/1@2=y"], 2, "a:x,y", 0 },
        // Written by an owner that has lost the partition and does not know it.
        { ["owner=1", "a/0@1=x", "owner=2", "a/1@1=late", "a/1@2=y"], 2, "a:x,y", 1 },
        { ["owner=1", "a/0@1=x", "owner=2", "a/1@2=y", "a/1@1=late"], 2, "a:x,y", 1 },
        { ["owner=1", "a/0@1=x", "owner=2", "a/1@1=late", "owner=3", "a/2@1=late", "a/2@2=late", "a/1@3=y"], 3, "a:x,y", 3 },
        // Two at the same moment: the first is the owner, and the other one has not begun.
        { ["owner=1", "owner=2", "owner=2", "a/0@2=x"], 2, "a:x", 0 },
        // One that comes late with an epoch from before.
        { ["owner=1", "owner=3", "owner=2", "a/0@2=late", "a/0@3=x"], 3, "a:x", 1 },
        // A write whose outcome nobody knew, and the one after it: the last counts.
        { ["owner=1", "a/0@1=x", "a/1@1=y", "a/1@1.1=z"], 1, "a:x,z", 0 },
        // Nobody's.
        { ["a/0@1=x", "owner=1", "a/0@2=y", "a/0@1=z"], 1, "a:z", 2 },
        // No history: nothing that somebody else writes there changes one.
        { ["owner=1", "a/0@1=x", "a=1", "a/1=2", "a/x@1=3", "owner=nobody", "a/1@1.x=4", "a/1@1"], 1, "a:x", 0 },
        // An instance with a name like an owner's key.
        { ["owner=1", "owner@7/0@1=x"], 1, "owner@7:x", 0 },
    };

    [Theory]
    [MemberData(nameof(Rows))]
    public void Of_each_owner_counts_what_was_written_before_the_next_one_began(string[] records, int epoch, string histories, int lateCount)
    {
        var log = new SagaHistoryLog();
        for (int i = 0; i < records.Length; i++)
        {
            log.Add(Read(records[i], i));
        }

        Assert.Equal(epoch, log.Epoch);
        Assert.Equal(histories, string.Join(' ', log.Histories.Select(history =>
            $"{history.Key}:{string.Join(',', history.Value.Select(next => Encoding.UTF8.GetString(next.Value.Span)))}")));
        Assert.Equal(lateCount, log.LateCount);
    }

    [Fact]
    public void An_owner_knows_its_own_beginning_by_the_offset()
    {
        var log = new SagaHistoryLog();
        log.Add(Read("owner=1", 4));
        log.Add(Read("owner=1", 7));

        Assert.Equal(new Offset(4), log.EpochOffset);
    }

    [Theory]
    [InlineData("trip-1", 3, 17, 0, "trip-1/00000003@17")]
    [InlineData("a/b@c/7", 123_456_789, 1, 2, "a/b@c/7/123456789@1.2")]
    public void The_key_of_a_record_says_what_it_is_of_and_who_wrote_it(string instance, int sequence, int epoch, int attempt, string expected)
    {
        var key = new HistoryKey(instance, sequence, epoch, attempt);

        byte[] written = SagaMessages.WriteHistoryKey(key);

        Assert.Equal(expected, Encoding.UTF8.GetString(written));
        Assert.True(SagaMessages.TryReadHistoryKey(written, out HistoryKey read));
        Assert.Equal(key, read);
    }

    private static ConsumerRecord Read(string text, int offset)
    {
        string[] parts = text.Split('=');
        string? value = parts.Length > 1 ? parts[1] : null;
        byte[] key = Encoding.UTF8.GetBytes(parts[0]);
        if (parts[0] == "owner")
        {
            key = SagaMessages.WriteOwnerKey(offset, "member/1");
            value = int.TryParse(value, out int epoch) ? Encoding.UTF8.GetString(SagaMessages.WriteOwner(epoch)) : value;
        }

        return new ConsumerRecord(
            new TopicPartition("order.inbox.state", 0), new Offset(offset), LeaderEpoch: 0, DateTimeOffset.UnixEpoch, key,
            value is null ? null : (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(value), []);
    }
}
