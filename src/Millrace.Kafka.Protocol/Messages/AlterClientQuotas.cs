namespace Millrace.Kafka.Protocol;

/// <summary>Sets and removes quotas of users, client ids and addresses (KIP-546).</summary>
public sealed class AlterClientQuotasRequest : IRequest<AlterClientQuotasResponse>
{
    public List<AlterClientQuotasEntry> Entries = [];
    public bool ValidateOnly;

    public static ApiDefinition Api { get; } = new(ApiKey.AlterClientQuotas, 0, 1, FirstFlexibleVersion: 1);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Entries, version);
        codec.Boolean(ref ValidateOnly);
        codec.Tags();
    }
}

public sealed class AlterClientQuotasEntry : IMessage
{
    public List<ClientQuotaEntityPart> Entity = [];
    public List<ClientQuotaOperation> Ops = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Entity, version);
        codec.Array(ref Ops, version);
        codec.Tags();
    }
}

public sealed class ClientQuotaOperation : IMessage
{
    public string Key = "";
    public double Value;
    public bool Remove;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Key);
        codec.Float64(ref Value);
        codec.Boolean(ref Remove);
        codec.Tags();
    }
}

public sealed class AlterClientQuotasResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<AlterClientQuotasResult> Entries = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Entries, version);
        codec.Tags();
    }
}

public sealed class AlterClientQuotasResult : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<ClientQuotaEntityPart> Entity = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref Entity, version);
        codec.Tags();
    }
}
