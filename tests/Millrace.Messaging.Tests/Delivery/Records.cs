using System.Text;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Messaging.Tests;

internal static class Records
{
    public static readonly TopicPartition Partition = new("orders.events", 0);

    public static ConsumerRecord Record(long offset, string? key = null, TopicPartition? partition = null, int leaderEpoch = 0) => new(
        partition ?? Partition, new Offset(offset), leaderEpoch, DateTimeOffset.UnixEpoch,
        key is null ? null : (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(key), Value: null, Headers: []);
}
