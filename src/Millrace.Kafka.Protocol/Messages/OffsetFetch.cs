namespace Millrace.Kafka.Protocol;

/// <summary>Reads what groups have committed: one group up to version 7, several from version 8.</summary>
public sealed class OffsetFetchRequest : IRequest<OffsetFetchResponse>
{
    /// <summary>Up to version 7.</summary>
    public string GroupId = "";

    /// <summary>Up to version 7; null for all topics, from version 2.</summary>
    public List<OffsetFetchTopic>? Topics = [];

    /// <summary>Version 8 and later.</summary>
    public List<OffsetFetchGroup> Groups = [];

    public bool RequireStable;

    public static ApiDefinition Api { get; } = new(ApiKey.OffsetFetch, 0, 10, FirstFlexibleVersion: 6);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version <= 7)
        {
            codec.String(ref GroupId);
            if (version >= 2) codec.NullableArray(ref Topics, version);
            else codec.Array(ref Topics!, version);
        }
        else
        {
            codec.Array(ref Groups, version);
        }

        if (version >= 7) codec.Boolean(ref RequireStable);
        codec.Tags();
    }
}

public sealed class OffsetFetchTopic : IMessage
{
    /// <summary>Up to version 9.</summary>
    public string Name = "";

    /// <summary>Version 10.</summary>
    public Guid TopicId;

    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10) codec.Uuid(ref TopicId);
        else codec.String(ref Name);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

public sealed class OffsetFetchGroup : IMessage
{
    public string GroupId = "";
    public string? MemberId;
    public int MemberEpoch = -1;

    /// <summary>Null for all topics.</summary>
    public List<OffsetFetchTopic>? Topics = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        if (version >= 9)
        {
            codec.NullableString(ref MemberId);
            codec.Int32(ref MemberEpoch);
        }

        codec.NullableArray(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetFetchResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;

    /// <summary>Up to version 7.</summary>
    public List<OffsetFetchTopicResponse> Topics = [];

    /// <summary>Versions 2 to 7.</summary>
    public ErrorCode ErrorCode;

    /// <summary>Version 8 and later.</summary>
    public List<OffsetFetchGroupResponse> Groups = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 3) codec.Int32(ref ThrottleMilliseconds);
        if (version <= 7) codec.Array(ref Topics, version);
        if (version is >= 2 and <= 7) codec.Error(ref ErrorCode);
        if (version >= 8) codec.Array(ref Groups, version);
        codec.Tags();
    }
}

public sealed class OffsetFetchGroupResponse : IMessage
{
    public string GroupId = "";
    public List<OffsetFetchTopicResponse> Topics = [];
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.Array(ref Topics, version);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}

public sealed class OffsetFetchTopicResponse : IMessage
{
    /// <summary>Up to version 9.</summary>
    public string Name = "";

    /// <summary>Version 10.</summary>
    public Guid TopicId;

    public List<OffsetFetchPartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10) codec.Uuid(ref TopicId);
        else codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OffsetFetchPartitionResponse : IMessage
{
    public int Index;

    /// <summary>-1 where nothing is committed.</summary>
    public long CommittedOffset;

    public int CommittedLeaderEpoch = -1;
    public string? Metadata = "";
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int64(ref CommittedOffset);
        if (version >= 5) codec.Int32(ref CommittedLeaderEpoch);
        codec.NullableString(ref Metadata);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
