namespace Millrace.Kafka.Protocol;

/// <summary>Appends record batches to partitions. Version 3 brings record batch version 2; earlier ones carry older formats. Version 12 makes partitions part of a transaction (KIP-890), version 13 names topics by their ids.</summary>
public sealed class ProduceRequest : IRequest<ProduceResponse>
{
    public string? TransactionalId;

    /// <summary>0, 1, or -1 for all; a request with 0 is not answered.</summary>
    public short Acks;

    public int TimeoutMilliseconds;
    public List<ProduceTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.Produce, 0, 13, FirstFlexibleVersion: 9);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 3) codec.NullableString(ref TransactionalId);
        codec.Int16(ref Acks);
        codec.Int32(ref TimeoutMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class ProduceTopic : IMessage
{
    /// <summary>Up to version 12.</summary>
    public string Name = "";

    /// <summary>Version 13.</summary>
    public Guid TopicId;

    public List<ProducePartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 13) codec.Uuid(ref TopicId);
        else codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class ProducePartition : IMessage
{
    public int Index;
    public ReadOnlyMemory<byte>? Records;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Records(ref Records);
        codec.Tags();
    }
}

public sealed class ProduceResponse : ITaggedMessage, IThrottledResponse
{
    public List<ProduceTopicResponse> Topics = [];
    public int ThrottleMilliseconds;

    /// <summary>Where the leaders that partitions name as current live (KIP-951). Version 10 and later.</summary>
    public List<NodeEndpoint> NodeEndpoints = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Topics, version);
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10 && codec.BeginTag(0, NodeEndpoints.Count > 0, out int mark0))
        {
            codec.Array(ref NodeEndpoints, version);
            codec.EndTag(mark0);
        }
    }
}

public sealed class ProduceTopicResponse : IMessage
{
    /// <summary>Up to version 12.</summary>
    public string Name = "";

    /// <summary>Version 13.</summary>
    public Guid TopicId;

    public List<ProducePartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 13) codec.Uuid(ref TopicId);
        else codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class ProducePartitionResponse : ITaggedMessage
{
    public int Index;
    public ErrorCode ErrorCode;

    /// <summary>The offset that the first record got; -1 with an error.</summary>
    public long BaseOffset;

    /// <summary>Milliseconds since 1970 where the topic takes the broker's time; otherwise -1.</summary>
    public long LogAppendTime = -1;

    public long LogStartOffset = -1;
    public List<ProduceRecordError> RecordErrors = [];
    public string? ErrorMessage;
    public LeaderIdAndEpoch? CurrentLeader;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.Int64(ref BaseOffset);
        if (version >= 2) codec.Int64(ref LogAppendTime);
        if (version >= 5) codec.Int64(ref LogStartOffset);
        if (version >= 8)
        {
            codec.Array(ref RecordErrors, version);
            codec.NullableString(ref ErrorMessage);
        }

        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 10 && codec.BeginTag(0, CurrentLeader is not null, out int mark0))
        {
            (CurrentLeader ??= new LeaderIdAndEpoch()).Describe(ref codec, version);
            codec.EndTag(mark0);
        }
    }
}

/// <summary>Why one record of a batch made the broker refuse the whole batch (KIP-467).</summary>
public sealed class ProduceRecordError : IMessage
{
    public int BatchIndex;
    public string? Message;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref BatchIndex);
        codec.NullableString(ref Message);
        codec.Tags();
    }
}
