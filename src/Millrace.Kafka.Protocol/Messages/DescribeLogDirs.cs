namespace Millrace.Kafka.Protocol;

/// <summary>Asks for the data directories and the sizes of the partitions in them.</summary>
public sealed class DescribeLogDirsRequest : IRequest<DescribeLogDirsResponse>
{
    /// <summary>Null for all.</summary>
    public List<DescribableLogDirTopic>? Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeLogDirs, 0, 4, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.NullableArray(ref Topics, version);
        codec.Tags();
    }
}

public sealed class DescribableLogDirTopic : IMessage
{
    public string Name = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

public sealed class DescribeLogDirsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public List<DescribeLogDirsResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        if (version >= 3) codec.Error(ref ErrorCode);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class DescribeLogDirsResult : IMessage
{
    public ErrorCode ErrorCode;
    public string LogDir = "";
    public List<DescribeLogDirsTopic> Topics = [];
    public long TotalBytes = -1;
    public long UsableBytes = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.String(ref LogDir);
        codec.Array(ref Topics, version);
        if (version >= 4) codec.Int64(ref TotalBytes);
        if (version >= 4) codec.Int64(ref UsableBytes);
        codec.Tags();
    }
}

public sealed class DescribeLogDirsTopic : IMessage
{
    public string Name = "";
    public List<DescribeLogDirsPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class DescribeLogDirsPartition : IMessage
{
    public int Index;
    public long PartitionSize;
    public long OffsetLag;
    public bool IsFutureKey;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int64(ref PartitionSize);
        codec.Int64(ref OffsetLag);
        codec.Boolean(ref IsFutureKey);
        codec.Tags();
    }
}
