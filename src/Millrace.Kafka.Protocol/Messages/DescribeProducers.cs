namespace Millrace.Kafka.Protocol;

/// <summary>Asks what partitions remember of the producers that write to them (KIP-664).</summary>
public sealed class DescribeProducersRequest : IRequest<DescribeProducersResponse>
{
    public List<DescribeProducersTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeProducers, 0, 0, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class DescribeProducersTopic : IMessage
{
    public string Name = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

public sealed class DescribeProducersResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DescribeProducersTopicResponse> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class DescribeProducersTopicResponse : IMessage
{
    public string Name = "";
    public List<DescribeProducersPartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class DescribeProducersPartitionResponse : IMessage
{
    public int Index;
    public ErrorCode ErrorCode;
    public string? ErrorMessage;
    public List<DescribedProducer> ActiveProducers = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref ActiveProducers, version);
        codec.Tags();
    }
}

public sealed class DescribedProducer : IMessage
{
    public long ProducerId;
    public int ProducerEpoch;
    public int LastSequence = -1;

    /// <summary>Milliseconds since 1970.</summary>
    public long LastTimestamp = -1;

    public int CoordinatorEpoch;

    /// <summary>Where its open transaction begins, or -1.</summary>
    public long CurrentTxnStartOffset = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref ProducerId);
        codec.Int32(ref ProducerEpoch);
        codec.Int32(ref LastSequence);
        codec.Int64(ref LastTimestamp);
        codec.Int32(ref CoordinatorEpoch);
        codec.Int64(ref CurrentTxnStartOffset);
        codec.Tags();
    }
}
