namespace Millrace.Kafka.Protocol;

/// <summary>Deletes the records before an offset.</summary>
public sealed class DeleteRecordsRequest : IRequest<DeleteRecordsResponse>
{
    public List<DeleteRecordsTopic> Topics = [];
    public int TimeoutMilliseconds;

    public static ApiDefinition Api { get; } = new(ApiKey.DeleteRecords, 0, 2, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Topics, version);
        codec.Int32(ref TimeoutMilliseconds);
        codec.Tags();
    }
}

public sealed class DeleteRecordsTopic : IMessage
{
    public string Name = "";
    public List<DeleteRecordsPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class DeleteRecordsPartition : IMessage
{
    public int Index;

    /// <summary>-1 for the high watermark.</summary>
    public long Offset;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int64(ref Offset);
        codec.Tags();
    }
}

public sealed class DeleteRecordsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DeleteRecordsTopicResult> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class DeleteRecordsTopicResult : IMessage
{
    public string Name = "";
    public List<DeleteRecordsPartitionResult> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class DeleteRecordsPartitionResult : IMessage
{
    public int Index;
    public long LowWatermark;
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int64(ref LowWatermark);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
