namespace Millrace.Kafka.Protocol;

/// <summary>Commits offsets of a group as part of a transaction. From version 5 on this makes them part of it, too (KIP-890).</summary>
public sealed class TxnOffsetCommitRequest : IRequest<TxnOffsetCommitResponse>
{
    public string TransactionalId = "";
    public string GroupId = "";
    public long ProducerId;
    public short ProducerEpoch;

    /// <summary>Version 3 and later, as are the names of the member (KIP-447).</summary>
    public int GenerationId = -1;

    public string MemberId = "";
    public string? GroupInstanceId;
    public List<TxnOffsetCommitTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.TxnOffsetCommit, 0, 5, FirstFlexibleVersion: 3);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TransactionalId);
        codec.String(ref GroupId);
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        if (version >= 3)
        {
            codec.Int32(ref GenerationId);
            codec.String(ref MemberId);
            codec.NullableString(ref GroupInstanceId);
        }

        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class TxnOffsetCommitTopic : IMessage
{
    public string Name = "";
    public List<TxnOffsetCommitPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class TxnOffsetCommitPartition : IMessage
{
    public int Index;
    public long CommittedOffset;
    public int CommittedLeaderEpoch = -1;
    public string? CommittedMetadata = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int64(ref CommittedOffset);
        if (version >= 2) codec.Int32(ref CommittedLeaderEpoch);
        codec.NullableString(ref CommittedMetadata);
        codec.Tags();
    }
}

public sealed class TxnOffsetCommitResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<TxnOffsetCommitTopicResponse> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class TxnOffsetCommitTopicResponse : IMessage
{
    public string Name = "";
    public List<TxnOffsetCommitPartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class TxnOffsetCommitPartitionResponse : IMessage
{
    public int Index;
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
