using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

/// <summary>
/// What a record of the offsets topic says: one of the nested records. Written in the versions that Kafka writes: an offset has key 1 and value 3 (1 where it has a time of expiry of its own),
/// a group has key 2 and value 3.
/// </summary>
internal abstract record OffsetsRecord
{
    private const short CommitKeyVersion = 1;
    private const short CommitValueVersion = 3;
    private const short ExpiringCommitValueVersion = 1;
    private const short GroupKeyVersion = 2;
    private const short GroupValueVersion = 3;

    private OffsetsRecord()
    {
    }

    /// <summary>A group committed an offset; null if it was deleted.</summary>
    internal sealed record Commit(string GroupId, TopicPartition Partition, CommittedOffset? Offset) : OffsetsRecord;

    /// <summary>A group reached the end of a rebalance; null if it was deleted.</summary>
    internal sealed record Group(string GroupId, GroupSnapshot? Snapshot) : OffsetsRecord;

    /// <summary>A producer's transaction ended, and with it what it committed for groups.</summary>
    internal sealed record TransactionEnd(bool IsCommit) : OffsetsRecord;

    /// <summary>A kind of record that newer brokers write, about something that this one does not know.</summary>
    internal sealed record Foreign(short KeyVersion) : OffsetsRecord;

    /// <summary>A record of a known kind that cannot be read.</summary>
    internal sealed record Malformed(string Error) : OffsetsRecord;

    public static void AppendCommit(RecordBatchBuilder batch, string groupId, TopicPartition partition, CommittedOffset offset)
    {
        OffsetCommitKey key = new() { Group = groupId, Topic = partition.Topic, Partition = partition.Partition };
        OffsetCommitValue value = new()
        {
            Offset = offset.Offset.Value,
            LeaderEpoch = offset.LeaderEpoch,
            Metadata = offset.Metadata,
            CommitTimestamp = offset.CommitTimestamp,
            ExpireTimestamp = offset.ExpireTimestamp,
        };

        // As in Kafka: the version with a time of expiry is older than the one with a leader epoch.
        short version = offset.ExpireTimestamp == CommittedOffset.NoExpiry ? CommitValueVersion : ExpiringCommitValueVersion;
        batch.Append(
            offset.CommitTimestamp,
            MessageCodec.WriteData(key, CommitKeyVersion).AsMemory(),
            MessageCodec.WriteData(value, version).AsMemory(),
            offset.Origin is { } origin ? [origin.ToHeader()] : null);
    }

    /// <summary>What stands in the place of a committed offset that was deleted, until compaction takes both.</summary>
    public static void AppendCommitTombstone(RecordBatchBuilder batch, string groupId, TopicPartition partition, long timestamp)
    {
        OffsetCommitKey key = new() { Group = groupId, Topic = partition.Topic, Partition = partition.Partition };
        batch.Append(timestamp, MessageCodec.WriteData(key, CommitKeyVersion).AsMemory(), value: null);
    }

    public static void AppendGroupTombstone(RecordBatchBuilder batch, string groupId, long timestamp) =>
        batch.Append(timestamp, MessageCodec.WriteData(new GroupMetadataKey { Group = groupId }, GroupKeyVersion).AsMemory(), value: null);

    public static void AppendGroup(RecordBatchBuilder batch, string groupId, GroupSnapshot snapshot, long timestamp)
    {
        GroupMetadataValue value = new()
        {
            ProtocolType = snapshot.ProtocolType,
            Generation = snapshot.Generation,
            Protocol = snapshot.ProtocolName,
            Leader = snapshot.Leader,
            CurrentStateTimestamp = timestamp,
            Members =
            [
                .. snapshot.Members.Select(member => new GroupMetadataMember
                {
                    MemberId = member.MemberId,
                    GroupInstanceId = member.InstanceId,
                    ClientId = member.ClientId,
                    ClientHost = member.ClientHost,
                    RebalanceTimeoutMilliseconds = (int)member.RebalanceTimeout.TotalMilliseconds,
                    SessionTimeoutMilliseconds = (int)member.SessionTimeout.TotalMilliseconds,
                    Subscription = member.Subscription,
                    Assignment = member.Assignment,
                }),
            ],
        };
        batch.Append(
            timestamp,
            MessageCodec.WriteData(new GroupMetadataKey { Group = groupId }, GroupKeyVersion).AsMemory(),
            MessageCodec.WriteData(value, GroupValueVersion).AsMemory());
    }

    public static OffsetsRecord Read(in Record record)
    {
        if (record.Key is not ReadOnlyMemory<byte> key || !MessageCodec.TryReadDataVersion(key, out short version))
        {
            return new Malformed("it has no key");
        }

        return version switch
        {
            0 or CommitKeyVersion => ReadCommit(key, record.Value, CommitOrigin.Find(record.Headers)),
            GroupKeyVersion => ReadGroup(key, record.Value),
            _ => new Foreign(version),
        };
    }

    private static OffsetsRecord ReadCommit(ReadOnlyMemory<byte> keyBytes, ReadOnlyMemory<byte>? valueBytes, CommitOrigin? origin)
    {
        if (!MessageCodec.TryReadData(keyBytes, acceptNewer: false, out OffsetCommitKey? key, out string? error))
        {
            return new Malformed(error);
        }

        TopicPartition partition = new(key.Topic, key.Partition);
        if (valueBytes is null)
        {
            return new Commit(key.Group, partition, Offset: null);
        }

        if (!MessageCodec.TryReadData(valueBytes.Value, acceptNewer: false, out OffsetCommitValue? value, out error))
        {
            return new Malformed(error);
        }

        CommittedOffset offset = new(new Offset(value.Offset), value.LeaderEpoch, value.Metadata, value.CommitTimestamp)
        {
            ExpireTimestamp = value.ExpireTimestamp,
            Origin = origin,
        };
        return new Commit(key.Group, partition, offset);
    }

    private static OffsetsRecord ReadGroup(ReadOnlyMemory<byte> keyBytes, ReadOnlyMemory<byte>? valueBytes)
    {
        if (!MessageCodec.TryReadData(keyBytes, acceptNewer: false, out GroupMetadataKey? key, out string? error))
        {
            return new Malformed(error);
        }

        if (valueBytes is null)
        {
            return new Group(key.Group, Snapshot: null);
        }

        if (!MessageCodec.TryReadData(valueBytes.Value, acceptNewer: false, out GroupMetadataValue? value, out error))
        {
            return new Malformed(error);
        }

        List<MemberSnapshot> members = new(value.Members.Count);
        foreach (GroupMetadataMember member in value.Members)
        {
            TimeSpan session = TimeSpan.FromMilliseconds(member.SessionTimeoutMilliseconds);

            // Version 0 has no rebalance timeout; there the session timeout was both.
            TimeSpan rebalance = member.RebalanceTimeoutMilliseconds < 0 ? session : TimeSpan.FromMilliseconds(member.RebalanceTimeoutMilliseconds);
            members.Add(new MemberSnapshot(
                member.MemberId, member.ClientId, member.ClientHost, rebalance, session, member.Subscription, member.Assignment, member.GroupInstanceId));
        }

        return new Group(key.Group, new GroupSnapshot(value.ProtocolType, value.Generation, value.Protocol, value.Leader, members)
        {
            StateTimestamp = value.CurrentStateTimestamp,
        });
    }
}
