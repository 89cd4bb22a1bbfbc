namespace Millrace.Kafka.Protocol;

/// <summary>Elects leaders of partitions anew.</summary>
public sealed class ElectLeadersRequest : IRequest<ElectLeadersResponse>
{
    /// <summary>0 the preferred leader, 1 one that is not in sync.</summary>
    public sbyte ElectionType;

    /// <summary>Null for all.</summary>
    public List<TopicPartitionNumbers>? TopicPartitions = [];

    public int TimeoutMilliseconds = 60_000;

    public static ApiDefinition Api { get; } = new(ApiKey.ElectLeaders, 0, 2, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int8(ref ElectionType);
        codec.NullableArray(ref TopicPartitions, version);
        codec.Int32(ref TimeoutMilliseconds);
        codec.Tags();
    }
}

public sealed class TopicPartitionNumbers : IMessage
{
    public string Topic = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Topic);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

public sealed class ElectLeadersResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public List<ReplicaElectionResult> ReplicaElectionResults = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        if (version >= 1) codec.Error(ref ErrorCode);
        codec.Array(ref ReplicaElectionResults, version);
        codec.Tags();
    }
}

public sealed class ReplicaElectionResult : IMessage
{
    public string Topic = "";
    public List<PartitionElectionResult> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Topic);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class PartitionElectionResult : IMessage
{
    public int Index;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Tags();
    }
}
