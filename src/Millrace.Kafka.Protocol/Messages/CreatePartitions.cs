namespace Millrace.Kafka.Protocol;

/// <summary>Gives topics more partitions.</summary>
public sealed class CreatePartitionsRequest : IRequest<CreatePartitionsResponse>
{
    public List<CreatePartitionsTopic> Topics = [];
    public int TimeoutMilliseconds;
    public bool ValidateOnly;

    public static ApiDefinition Api { get; } = new(ApiKey.CreatePartitions, 0, 3, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Topics, version);
        codec.Int32(ref TimeoutMilliseconds);
        codec.Boolean(ref ValidateOnly);
        codec.Tags();
    }
}

public sealed class CreatePartitionsTopic : IMessage
{
    public string Name = "";

    /// <summary>How many partitions the topic is to have, old ones included.</summary>
    public int Count;

    /// <summary>Of the new partitions; null leaves it to the broker.</summary>
    public List<CreatePartitionsAssignment>? Assignments = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int32(ref Count);
        codec.NullableArray(ref Assignments, version);
        codec.Tags();
    }
}

public sealed class CreatePartitionsAssignment : IMessage
{
    public List<int> BrokerIds = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32Array(ref BrokerIds);
        codec.Tags();
    }
}

public sealed class CreatePartitionsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<CreatePartitionsTopicResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class CreatePartitionsTopicResult : IMessage
{
    public string Name = "";
    public ErrorCode ErrorCode;
    public string? ErrorMessage;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Tags();
    }
}
