namespace Millrace.Kafka.Protocol;

/// <summary>Finds offsets by time. Version 0 asks for several offsets of a partition, later ones for one.</summary>
public sealed class ListOffsetsRequest : IRequest<ListOffsetsResponse>
{
    /// <summary>-1 for a consumer.</summary>
    public int ReplicaId = -1;

    /// <summary>0 read uncommitted, 1 read committed.</summary>
    public sbyte IsolationLevel;

    public List<ListOffsetsTopic> Topics = [];

    /// <summary>How long records that are stored elsewhere may be looked for. Version 10 and later.</summary>
    public int TimeoutMilliseconds;

    public static ApiDefinition Api { get; } = new(ApiKey.ListOffsets, 0, 11, FirstFlexibleVersion: 6);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ReplicaId);
        if (version >= 2) codec.Int8(ref IsolationLevel);
        codec.Array(ref Topics, version);
        if (version >= 10) codec.Int32(ref TimeoutMilliseconds);
        codec.Tags();
    }
}

public sealed class ListOffsetsTopic : IMessage
{
    public string Name = "";
    public List<ListOffsetsPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class ListOffsetsPartition : IMessage
{
    public int Index;
    public int CurrentLeaderEpoch = -1;

    /// <summary>Milliseconds since 1970, or -1 latest, -2 earliest, -3 the record with the largest timestamp (version 7), -4 the earliest on the broker (8), -5 the latest that is stored elsewhere (9), -6 the earliest that is not yet (11).</summary>
    public long Timestamp;

    public int MaxOffsetCount = 1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        if (version >= 4) codec.Int32(ref CurrentLeaderEpoch);
        codec.Int64(ref Timestamp);
        if (version == 0) codec.Int32(ref MaxOffsetCount);
        codec.Tags();
    }
}

public sealed class ListOffsetsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<ListOffsetsTopicResponse> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 2) codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class ListOffsetsTopicResponse : IMessage
{
    public string Name = "";
    public List<ListOffsetsPartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class ListOffsetsPartitionResponse : IMessage
{
    public int Index;
    public ErrorCode ErrorCode;

    /// <summary>Version 0 only; later ones use <see cref="Offset"/>.</summary>
    public List<long> OldStyleOffsets = [];

    public long Timestamp = -1;
    public long Offset = -1;
    public int LeaderEpoch = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        if (version == 0) codec.Int64Array(ref OldStyleOffsets);
        if (version >= 1)
        {
            codec.Int64(ref Timestamp);
            codec.Int64(ref Offset);
        }

        if (version >= 4) codec.Int32(ref LeaderEpoch);
        codec.Tags();
    }
}
