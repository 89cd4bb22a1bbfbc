namespace Millrace.Kafka.Protocol;

/// <summary>Creates topics.</summary>
public sealed class CreateTopicsRequest : IRequest<CreateTopicsResponse>
{
    public List<CreatableTopic> Topics = [];
    public int TimeoutMilliseconds = 60_000;

    /// <summary>Check and create nothing.</summary>
    public bool ValidateOnly;

    public static ApiDefinition Api { get; } = new(ApiKey.CreateTopics, 0, 7, FirstFlexibleVersion: 5);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Topics, version);
        codec.Int32(ref TimeoutMilliseconds);
        if (version >= 1) codec.Boolean(ref ValidateOnly);
        codec.Tags();
    }
}

public sealed class CreatableTopic : IMessage
{
    public string Name = "";

    /// <summary>-1 for the broker's default (version 4, KIP-464), or where <see cref="Assignments"/> say it.</summary>
    public int PartitionCount;

    /// <summary>-1 for the broker's default (version 4, KIP-464), or where <see cref="Assignments"/> say it.</summary>
    public short ReplicationFactor;

    public List<CreatableReplicaAssignment> Assignments = [];
    public List<CreatableTopicConfig> Configs = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int32(ref PartitionCount);
        codec.Int16(ref ReplicationFactor);
        codec.Array(ref Assignments, version);
        codec.Array(ref Configs, version);
        codec.Tags();
    }
}

public sealed class CreatableReplicaAssignment : IMessage
{
    public int PartitionIndex;
    public List<int> BrokerIds = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref PartitionIndex);
        codec.Int32Array(ref BrokerIds);
        codec.Tags();
    }
}

public sealed class CreatableTopicConfig : IMessage
{
    public string Name = "";
    public string? Value = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.NullableString(ref Value);
        codec.Tags();
    }
}

public sealed class CreateTopicsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<CreatableTopicResult> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 2) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class CreatableTopicResult : ITaggedMessage
{
    public string Name = "";
    public Guid TopicId;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public ErrorCode TopicConfigErrorCode;
    public int PartitionCount = -1;
    public short ReplicationFactor = -1;
    public List<CreatableTopicResultConfig>? Configs = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        if (version >= 7) codec.Uuid(ref TopicId);
        codec.Error(ref ErrorCode);
        if (version >= 1) codec.NullableString(ref ErrorMessage);
        if (version >= 5)
        {
            codec.Int32(ref PartitionCount);
            codec.Int16(ref ReplicationFactor);
            codec.NullableArray(ref Configs, version);
        }

        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (codec.BeginTag(0, TopicConfigErrorCode != ErrorCode.None, out int mark0))
        {
            codec.Error(ref TopicConfigErrorCode);
            codec.EndTag(mark0);
        }
    }
}

public sealed class CreatableTopicResultConfig : IMessage
{
    public string Name = "";
    public string? Value = "";
    public bool ReadOnly;
    public sbyte ConfigSource = -1;
    public bool IsSensitive;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.NullableString(ref Value);
        codec.Boolean(ref ReadOnly);
        codec.Int8(ref ConfigSource);
        codec.Boolean(ref IsSensitive);
        codec.Tags();
    }
}
