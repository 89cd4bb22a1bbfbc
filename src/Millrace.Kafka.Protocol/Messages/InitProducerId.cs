namespace Millrace.Kafka.Protocol;

/// <summary>Asks for a producer id, with or without a transactional id.</summary>
public sealed class InitProducerIdRequest : IRequest<InitProducerIdResponse>
{
    /// <summary>Null for a producer that is idempotent only.</summary>
    public string? TransactionalId;

    public int TransactionTimeoutMilliseconds;

    /// <summary>The id that the producer has and wants renewed (KIP-360), or -1.</summary>
    public long ProducerId = -1;

    public short ProducerEpoch = -1;

    public static ApiDefinition Api { get; } = new(ApiKey.InitProducerId, 0, 5, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.NullableString(ref TransactionalId);
        codec.Int32(ref TransactionTimeoutMilliseconds);
        if (version >= 3)
        {
            codec.Int64(ref ProducerId);
            codec.Int16(ref ProducerEpoch);
        }

        codec.Tags();
    }
}

public sealed class InitProducerIdResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public long ProducerId = -1;
    public short ProducerEpoch;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Tags();
    }
}
