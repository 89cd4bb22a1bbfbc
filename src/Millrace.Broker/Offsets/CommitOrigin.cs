using System.Buffers.Binary;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>Of which log an offset was committed: that of a topic, in a leader epoch.</summary>
/// <remarks>
/// It stands in a header of the record, which Kafka's tools read past:
/// <code>
/// offset size field         big-endian
///      0   16 topic id
///     16    4 leader epoch
/// </code>
/// </remarks>
/// <param name="TopicId">Empty where nothing of the topic has been read since the start.</param>
/// <param name="LeaderEpoch">Of a partition that has not been read since the start, that of its checkpoint: the next one begins where its log ends.</param>
internal readonly record struct CommitOrigin(Guid TopicId, int LeaderEpoch)
{
    private const string HeaderKey = "millrace.log";
    private const int TopicIdByteCount = 16;

    public static CommitOrigin? Of(Topic? topic, int partition) =>
        topic?.Find(partition) is PartitionLog log ? new CommitOrigin(log.TopicId == Guid.Empty ? topic.Id : log.TopicId, log.LeaderEpoch) : null;

    public RecordHeader ToHeader()
    {
        byte[] bytes = new byte[TopicIdByteCount + sizeof(int)];
        TopicId.TryWriteBytes(bytes, bigEndian: true, out _);
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(TopicIdByteCount), LeaderEpoch);
        return new RecordHeader(HeaderKey, bytes);
    }

    public static CommitOrigin? Find(IReadOnlyList<RecordHeader> headers)
    {
        foreach (RecordHeader header in headers)
        {
            if (header.Key == HeaderKey && header.Value is { Length: TopicIdByteCount + sizeof(int) } bytes)
            {
                ReadOnlySpan<byte> span = bytes.Span;
                return new CommitOrigin(new Guid(span[..TopicIdByteCount], bigEndian: true), BinaryPrimitives.ReadInt32BigEndian(span[TopicIdByteCount..]));
            }
        }

        return null;
    }
}
