namespace Millrace.Kafka.Protocol;

/// <summary>Lists the groups that a broker coordinates.</summary>
public sealed class ListGroupsRequest : IRequest<ListGroupsResponse>
{
    /// <summary>Empty for all. Names of states, whatever their case.</summary>
    public List<string> StatesFilter = [];

    /// <summary>Empty for all: classic, consumer, share.</summary>
    public List<string> TypesFilter = [];

    public static ApiDefinition Api { get; } = new(ApiKey.ListGroups, 0, 5, FirstFlexibleVersion: 3);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 4) codec.StringArray(ref StatesFilter);
        if (version >= 5) codec.StringArray(ref TypesFilter);
        codec.Tags();
    }
}

public sealed class ListGroupsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public List<ListedGroup> Groups = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.Array(ref Groups, version);
        codec.Tags();
    }
}

public sealed class ListedGroup : IMessage
{
    public string GroupId = "";
    public string ProtocolType = "";
    public string GroupState = "";
    public string GroupType = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.String(ref ProtocolType);
        if (version >= 4) codec.String(ref GroupState);
        if (version >= 5) codec.String(ref GroupType);
        codec.Tags();
    }
}
