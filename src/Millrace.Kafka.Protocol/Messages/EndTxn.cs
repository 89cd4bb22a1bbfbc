namespace Millrace.Kafka.Protocol;

/// <summary>Commits or aborts a transaction. From version 5 on the producer's epoch rises with each (KIP-890).</summary>
public sealed class EndTxnRequest : IRequest<EndTxnResponse>
{
    public string TransactionalId = "";
    public long ProducerId;
    public short ProducerEpoch;

    /// <summary>False: it is aborted.</summary>
    public bool Committed;

    public static ApiDefinition Api { get; } = new(ApiKey.EndTxn, 0, 5, FirstFlexibleVersion: 3);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TransactionalId);
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Boolean(ref Committed);
        codec.Tags();
    }
}

public sealed class EndTxnResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;

    /// <summary>What the producer goes on with. Version 5 and later.</summary>
    public long ProducerId = -1;

    public short ProducerEpoch = -1;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        if (version >= 5)
        {
            codec.Int64(ref ProducerId);
            codec.Int16(ref ProducerEpoch);
        }

        codec.Tags();
    }
}
