namespace Millrace.Kafka.Protocol;

/// <summary>Moves partitions to other brokers, or calls a move off (KIP-455).</summary>
public sealed class AlterPartitionReassignmentsRequest : IRequest<AlterPartitionReassignmentsResponse>
{
    public int TimeoutMilliseconds = 60_000;

    /// <summary>Whether a partition may get more or fewer replicas than it has (KIP-860). Version 1 and later; before, it may.</summary>
    public bool AllowReplicationFactorChange = true;

    public List<ReassignableTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.AlterPartitionReassignments, 0, 1, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref TimeoutMilliseconds);
        if (version >= 1) codec.Boolean(ref AllowReplicationFactorChange);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class ReassignableTopic : IMessage
{
    public string Name = "";
    public List<ReassignablePartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class ReassignablePartition : IMessage
{
    public int Index;

    /// <summary>The brokers to move to, the preferred leader first; null calls off the move that is under way.</summary>
    public List<int>? Replicas;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.NullableInt32Array(ref Replicas);
        codec.Tags();
    }
}

public sealed class AlterPartitionReassignmentsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public bool AllowReplicationFactorChange = true;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<ReassignableTopicResponse> Responses = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        if (version >= 1) codec.Boolean(ref AllowReplicationFactorChange);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref Responses, version);
        codec.Tags();
    }
}

public sealed class ReassignableTopicResponse : IMessage
{
    public string Name = "";
    public List<ReassignablePartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class ReassignablePartitionResponse : IMessage
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
