namespace Millrace.Kafka.Protocol;

/// <summary>Asks which broker coordinates a group or a transactional id: one key up to version 3, several from version 4.</summary>
public sealed class FindCoordinatorRequest : IRequest<FindCoordinatorResponse>
{
    /// <summary>Up to version 3.</summary>
    public string Key = "";

    /// <summary>0 group, 1 transactional id, 2 share group (version 6).</summary>
    public sbyte KeyType;

    /// <summary>Version 4 and later.</summary>
    public List<string> CoordinatorKeys = [];

    public static ApiDefinition Api { get; } = new(ApiKey.FindCoordinator, 0, 6, FirstFlexibleVersion: 3);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version <= 3) codec.String(ref Key);
        if (version >= 1) codec.Int8(ref KeyType);
        if (version >= 4) codec.StringArray(ref CoordinatorKeys);
        codec.Tags();
    }
}

public sealed class FindCoordinatorResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public int NodeId;
    public string Host = "";
    public int Port;

    /// <summary>Version 4 and later; it takes the place of all other fields but the throttle time.</summary>
    public List<Coordinator> Coordinators = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        if (version <= 3)
        {
            codec.Error(ref ErrorCode);
            if (version >= 1) codec.NullableString(ref ErrorMessage);
            codec.Int32(ref NodeId);
            codec.String(ref Host);
            codec.Int32(ref Port);
        }
        else
        {
            codec.Array(ref Coordinators, version);
        }

        codec.Tags();
    }
}

public sealed class Coordinator : IMessage
{
    public string Key = "";
    public int NodeId;
    public string Host = "";
    public int Port;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Key);
        codec.Int32(ref NodeId);
        codec.String(ref Host);
        codec.Int32(ref Port);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Tags();
    }
}
