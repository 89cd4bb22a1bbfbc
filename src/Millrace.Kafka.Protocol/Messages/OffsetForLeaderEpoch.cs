namespace Millrace.Kafka.Protocol;

/// <summary>Asks where leader epochs end, to find out whether a log was truncated (KIP-320).</summary>
public sealed class OffsetForLeaderEpochRequest : IRequest<OffsetForLeaderEpochResponse>
{
    /// <summary>-1 from a consumer, -2 from a client that does not say.</summary>
    public int ReplicaId = -2;

    public List<OffsetForLeaderTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.OffsetForLeaderEpoch, 0, 4, FirstFlexibleVersion: 4);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 3) codec.Int32(ref ReplicaId);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetForLeaderTopic : IMessage
{
    public string Name = "";
    public List<OffsetForLeaderPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OffsetForLeaderPartition : IMessage
{
    public int Index;
    public int CurrentLeaderEpoch = -1;
    public int LeaderEpoch;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        if (version >= 2) codec.Int32(ref CurrentLeaderEpoch);
        codec.Int32(ref LeaderEpoch);
        codec.Tags();
    }
}

public sealed class OffsetForLeaderEpochResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<OffsetForLeaderTopicResult> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 2) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetForLeaderTopicResult : IMessage
{
    public string Name = "";
    public List<LeaderEpochEnd> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class LeaderEpochEnd : IMessage
{
    public ErrorCode ErrorCode;
    public int Index;
    public int LeaderEpoch = -1;
    public long EndOffset = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.Int32(ref Index);
        if (version >= 1) codec.Int32(ref LeaderEpoch);
        codec.Int64(ref EndOffset);
        codec.Tags();
    }
}
