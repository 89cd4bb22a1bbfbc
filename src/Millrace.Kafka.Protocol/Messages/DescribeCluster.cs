namespace Millrace.Kafka.Protocol;

/// <summary>Asks for the brokers of the cluster (KIP-700).</summary>
public sealed class DescribeClusterRequest : IRequest<DescribeClusterResponse>
{
    public bool IncludeClusterAuthorizedOperations;

    /// <summary>1 brokers, 2 controllers.</summary>
    public sbyte EndpointType = 1;

    public bool IncludeFencedBrokers;

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeCluster, 0, 2, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Boolean(ref IncludeClusterAuthorizedOperations);
        if (version >= 1) codec.Int8(ref EndpointType);
        if (version >= 2) codec.Boolean(ref IncludeFencedBrokers);
        codec.Tags();
    }
}

public sealed class DescribeClusterResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage;
    public sbyte EndpointType = 1;
    public string ClusterId = "";
    public int ControllerId = -1;
    public List<DescribeClusterBroker> Brokers = [];

    /// <summary>Bits of operations, or <see cref="int.MinValue"/> when they were not asked for.</summary>
    public int ClusterAuthorizedOperations = int.MinValue;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        if (version >= 1) codec.Int8(ref EndpointType);
        codec.String(ref ClusterId);
        codec.Int32(ref ControllerId);
        codec.Array(ref Brokers, version);
        codec.Int32(ref ClusterAuthorizedOperations);
        codec.Tags();
    }
}

public sealed class DescribeClusterBroker : IMessage
{
    public int BrokerId;
    public string Host = "";
    public int Port;
    public string? Rack;
    public bool IsFenced;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref BrokerId);
        codec.String(ref Host);
        codec.Int32(ref Port);
        codec.NullableString(ref Rack);
        if (version >= 2) codec.Boolean(ref IsFenced);
        codec.Tags();
    }
}
