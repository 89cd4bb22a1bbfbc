namespace Millrace.Kafka.Protocol;

/// <summary>Brings the leader's assignments to the coordinator, and each member's own back.</summary>
public sealed class SyncGroupRequest : IRequest<SyncGroupResponse>
{
    public string GroupId = "";
    public int GenerationId;
    public string MemberId = "";
    public string? GroupInstanceId;
    public string? ProtocolType;
    public string? ProtocolName;

    /// <summary>Filled by the leader only.</summary>
    public List<SyncGroupAssignment> Assignments = [];

    public static ApiDefinition Api { get; } = new(ApiKey.SyncGroup, 0, 5, FirstFlexibleVersion: 4);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref GroupId);
        codec.Int32(ref GenerationId);
        codec.String(ref MemberId);
        if (version >= 3) codec.NullableString(ref GroupInstanceId);
        if (version >= 5)
        {
            codec.NullableString(ref ProtocolType);
            codec.NullableString(ref ProtocolName);
        }

        codec.Array(ref Assignments, version);
        codec.Tags();
    }
}

public sealed class SyncGroupAssignment : IMessage
{
    public string MemberId = "";

    /// <summary>Opaque to the broker.</summary>
    public byte[] Assignment = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        codec.Bytes(ref Assignment);
        codec.Tags();
    }
}

public sealed class SyncGroupResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ProtocolType;
    public string? ProtocolName;
    public byte[] Assignment = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        if (version >= 5)
        {
            codec.NullableString(ref ProtocolType);
            codec.NullableString(ref ProtocolName);
        }

        // Never null by the definition; librdkafka's mock cluster sends null beside an error.
        byte[]? assignment = Assignment;
        codec.NullableBytes(ref assignment);
        Assignment = assignment ?? [];
        codec.Tags();
    }
}
