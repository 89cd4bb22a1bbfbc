namespace Millrace.Kafka.Protocol;

/// <summary>Asks for brokers, topics and their leaders.</summary>
public sealed class MetadataRequest : IRequest<MetadataResponse>
{
    /// <summary>Null for all topics. Version 0 has no null: there an empty list means all.</summary>
    public List<MetadataRequestTopic>? Topics = [];

    public bool AllowAutoTopicCreation = true;
    public bool IncludeClusterAuthorizedOperations;
    public bool IncludeTopicAuthorizedOperations;

    public static ApiDefinition Api { get; } = new(ApiKey.Metadata, 0, 13, FirstFlexibleVersion: 9);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.NullableArray(ref Topics, version);
        else codec.Array(ref Topics!, version);
        if (version >= 4) codec.Boolean(ref AllowAutoTopicCreation);
        if (version is >= 8 and <= 10) codec.Boolean(ref IncludeClusterAuthorizedOperations);
        if (version >= 8) codec.Boolean(ref IncludeTopicAuthorizedOperations);
        codec.Tags();
    }
}

public sealed class MetadataRequestTopic : IMessage
{
    public Guid TopicId;

    /// <summary>Null when the topic is asked for by id (version 12 and later).</summary>
    public string? Name = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10)
        {
            codec.Uuid(ref TopicId);
            codec.NullableString(ref Name);
        }
        else
        {
            codec.String(ref Name!);
        }

        codec.Tags();
    }
}

public sealed class MetadataResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<MetadataBroker> Brokers = [];
    public string? ClusterId;
    public int ControllerId = -1;
    public List<MetadataTopic> Topics = [];

    /// <summary>Bits of operations, or <see cref="int.MinValue"/> when they were not asked for.</summary>
    public int ClusterAuthorizedOperations = int.MinValue;

    /// <summary>Version 13: the client is to begin again from its bootstrap servers (KIP-1102).</summary>
    public ErrorCode ErrorCode;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 3) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Brokers, version);
        if (version >= 2) codec.NullableString(ref ClusterId);
        if (version >= 1) codec.Int32(ref ControllerId);
        codec.Array(ref Topics, version);
        if (version is >= 8 and <= 10) codec.Int32(ref ClusterAuthorizedOperations);
        if (version >= 13) codec.Error(ref ErrorCode);
        codec.Tags();
    }
}

public sealed class MetadataBroker : IMessage
{
    public int NodeId;
    public string Host = "";
    public int Port;
    public string? Rack;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref NodeId);
        codec.String(ref Host);
        codec.Int32(ref Port);
        if (version >= 1) codec.NullableString(ref Rack);
        codec.Tags();
    }
}

public sealed class MetadataTopic : IMessage
{
    public ErrorCode ErrorCode;

    /// <summary>Null for an unknown id (version 12 and later).</summary>
    public string? Name = "";

    public Guid TopicId;
    public bool IsInternal;
    public List<MetadataPartition> Partitions = [];

    /// <summary>Bits of operations, or <see cref="int.MinValue"/> when they were not asked for.</summary>
    public int TopicAuthorizedOperations = int.MinValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        if (version >= 12) codec.NullableString(ref Name);
        else codec.String(ref Name!);
        if (version >= 10) codec.Uuid(ref TopicId);
        if (version >= 1) codec.Boolean(ref IsInternal);
        codec.Array(ref Partitions, version);
        if (version >= 8) codec.Int32(ref TopicAuthorizedOperations);
        codec.Tags();
    }
}

public sealed class MetadataPartition : IMessage
{
    public ErrorCode ErrorCode;
    public int Index;
    public int LeaderId;
    public int LeaderEpoch = -1;
    public List<int> Replicas = [];
    public List<int> InSyncReplicas = [];
    public List<int> OfflineReplicas = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.Int32(ref Index);
        codec.Int32(ref LeaderId);
        if (version >= 7) codec.Int32(ref LeaderEpoch);
        codec.Int32Array(ref Replicas);
        codec.Int32Array(ref InSyncReplicas);
        if (version >= 5) codec.Int32Array(ref OfflineReplicas);
        codec.Tags();
    }
}
