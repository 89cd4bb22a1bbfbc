namespace Millrace.Kafka.Protocol;

/// <summary>Deletes topics, by their names, or from version 6 on by their ids as well.</summary>
public sealed class DeleteTopicsRequest : IRequest<DeleteTopicsResponse>
{
    public List<DeleteTopicState> Topics = [];
    public List<string> TopicNames = [];
    public int TimeoutMilliseconds;

    public static ApiDefinition Api { get; } = new(ApiKey.DeleteTopics, 0, 6, FirstFlexibleVersion: 4);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 6) codec.Array(ref Topics, version);
        if (version <= 5) codec.StringArray(ref TopicNames);
        codec.Int32(ref TimeoutMilliseconds);
        codec.Tags();
    }
}

public sealed class DeleteTopicState : IMessage
{
    public string? Name;
    public Guid TopicId;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.NullableString(ref Name);
        codec.Uuid(ref TopicId);
        codec.Tags();
    }
}

public sealed class DeleteTopicsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DeletableTopicResult> Responses = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Responses, version);
        codec.Tags();
    }
}

public sealed class DeletableTopicResult : IMessage
{
    /// <summary>Null for an unknown id (version 6).</summary>
    public string? Name = "";

    public Guid TopicId;
    public ErrorCode ErrorCode;
    public string? ErrorMessage;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 6) codec.NullableString(ref Name);
        else codec.String(ref Name!);
        if (version >= 6) codec.Uuid(ref TopicId);
        codec.Error(ref ErrorCode);
        if (version >= 5) codec.NullableString(ref ErrorMessage);
        codec.Tags();
    }
}
