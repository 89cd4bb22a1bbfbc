namespace Millrace.Kafka.Protocol;

/// <summary>Stores how far a group has read. Versions 0 and 1 come from the time when ZooKeeper kept offsets.</summary>
public sealed class OffsetCommitRequest : IRequest<OffsetCommitResponse>
{
    public string GroupId = "";

    /// <summary>-1 from a consumer that assigns its partitions itself; a member epoch in the protocol of KIP-848.</summary>
    public int GenerationId = -1;

    public string MemberId = "";
    public string? GroupInstanceId;
    public long RetentionMilliseconds = -1;
    public List<OffsetCommitTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.OffsetCommit, 0, 10, FirstFlexibleVersion: 8);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        if (version >= 1)
        {
            codec.Int32(ref GenerationId);
            codec.String(ref MemberId);
        }

        if (version >= 7) codec.NullableString(ref GroupInstanceId);
        if (version is >= 2 and <= 4) codec.Int64(ref RetentionMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetCommitTopic : IMessage
{
    /// <summary>Up to version 9.</summary>
    public string Name = "";

    /// <summary>Version 10.</summary>
    public Guid TopicId;

    public List<OffsetCommitPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10) codec.Uuid(ref TopicId);
        else codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OffsetCommitPartition : IMessage
{
    public int Index;
    public long CommittedOffset;
    public int CommittedLeaderEpoch = -1;

    /// <summary>Version 1 only.</summary>
    public long CommitTimestamp = -1;

    public string? CommittedMetadata = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int64(ref CommittedOffset);
        if (version >= 6) codec.Int32(ref CommittedLeaderEpoch);
        if (version == 1) codec.Int64(ref CommitTimestamp);
        codec.NullableString(ref CommittedMetadata);
        codec.Tags();
    }
}

public sealed class OffsetCommitResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<OffsetCommitTopicResponse> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 3) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetCommitTopicResponse : IMessage
{
    /// <summary>Up to version 9.</summary>
    public string Name = "";

    /// <summary>Version 10.</summary>
    public Guid TopicId;

    public List<OffsetCommitPartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10) codec.Uuid(ref TopicId);
        else codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OffsetCommitPartitionResponse : IMessage
{
    public int Index;
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
