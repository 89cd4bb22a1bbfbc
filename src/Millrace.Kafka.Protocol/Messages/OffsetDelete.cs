namespace Millrace.Kafka.Protocol;

/// <summary>Deletes what a group has committed for some partitions (KIP-496).</summary>
public sealed class OffsetDeleteRequest : IRequest<OffsetDeleteResponse>
{
    public string GroupId = "";
    public List<OffsetDeleteTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.OffsetDelete, 0, 0, FirstFlexibleVersion: short.MaxValue);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetDeleteTopic : IMessage
{
    public string Name = "";
    public List<OffsetDeletePartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OffsetDeletePartition : IMessage
{
    public int Index;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Tags();
    }
}

public sealed class OffsetDeleteResponse : IThrottledResponse
{
    public ErrorCode ErrorCode;
    public int ThrottleMilliseconds;
    public List<OffsetDeleteTopicResponse> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OffsetDeleteTopicResponse : IMessage
{
    public string Name = "";
    public List<OffsetDeletePartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OffsetDeletePartitionResponse : IMessage
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
