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
/// <param name="LeaderEpoch">
/// Of a partition that has not been read since the start, that of its checkpoint, since the next one begins where its log ends. Where that could not be read either, the latest that is known of it: by the group's last
/// commit, or by what the client says of the last record before the offset.
/// </param>
internal readonly record struct CommitOrigin(Guid TopicId, int LeaderEpoch)
{
    private const string HeaderKey = "millrace.log";
    private const int TopicIdByteCount = 16;

    /// <summary>Null where there is no such partition.</summary>
    /// <param name="topic">Its topic.</param>
    /// <param name="partition">Of which the offset is.</param>
    /// <param name="clientEpoch">The leader epoch of the last record before the offset, by the client's word.</param>
    /// <param name="committed">What groups have committed so far.</param>
    /// <param name="groupId">The group that commits.</param>
    public static CommitOrigin? Of(Topic topic, int partition, int clientEpoch, CommittedOffsets committed, string groupId)
    {
        if (topic.Find(partition) is not PartitionLog log)
        {
            return null;
        }

        // First: by the time that it is looked at it may have been read, and has another epoch.
        bool isRead = log.HasBeenRead;
        CommitOrigin origin = new(log.TopicId == Guid.Empty ? topic.Id : log.TopicId, log.LeaderEpoch);
        if (isRead)
        {
            return origin;
        }

        CommitOrigin before = committed.TryGet(groupId, new TopicPartition(topic.Name, partition), out CommittedOffset? last) && last.Origin is { } known && origin.IsOfSameTopic(known) ? known : origin;
        return origin with { LeaderEpoch = Math.Max(origin.LeaderEpoch, Math.Max(before.LeaderEpoch, clientEpoch)) };
    }

    /// <summary>Whether nothing says that they are of different topics of one name.</summary>
    public bool IsOfSameTopic(CommitOrigin other) => TopicId == other.TopicId || TopicId == Guid.Empty || other.TopicId == Guid.Empty;

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
