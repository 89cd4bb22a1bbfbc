namespace Millrace.Kafka.Protocol;

/// <summary>Deletes groups that nobody is in, with what they have committed.</summary>
public sealed class DeleteGroupsRequest : IRequest<DeleteGroupsResponse>
{
    public List<string> GroupIds = [];

    public static ApiDefinition Api { get; } = new(ApiKey.DeleteGroups, 0, 2, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.StringArray(ref GroupIds);
        codec.Tags();
    }
}

public sealed class DeleteGroupsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DeletableGroupResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class DeletableGroupResult : IMessage
{
    public string GroupId = "";
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
