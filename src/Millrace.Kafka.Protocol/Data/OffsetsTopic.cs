namespace Millrace.Kafka.Protocol;

// The keys and values of Kafka's internal topic __consumer_offsets. The version of a key tells what it is the key of:
// 0 and 1 a committed offset, 2 a group.

/// <summary>The key of a committed offset. Both versions have the same fields; Kafka writes version 1.</summary>
public sealed class OffsetCommitKey : IVersionedData
{
    public string Group = "";
    public string Topic = "";
    public int Partition;

    public static short MinVersion => 0;
    public static short MaxVersion => 1;
    public static short FirstFlexibleVersion => short.MaxValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Group);
        codec.String(ref Topic);
        codec.Int32(ref Partition);
        codec.Tags();
    }
}

/// <summary>A committed offset. Kafka writes version 3, or 1 where an expiry is set.</summary>
public sealed class OffsetCommitValue : IVersionedData
{
    public long Offset;
    public int LeaderEpoch = -1;
    public string Metadata = "";

    /// <summary>Milliseconds since 1970.</summary>
    public long CommitTimestamp;

    /// <summary>Version 1 only.</summary>
    public long ExpireTimestamp = -1;

    public static short MinVersion => 0;
    public static short MaxVersion => 4;
    public static short FirstFlexibleVersion => 4;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref Offset);
        if (version >= 3) codec.Int32(ref LeaderEpoch);
        codec.String(ref Metadata);
        codec.Int64(ref CommitTimestamp);
        if (version == 1) codec.Int64(ref ExpireTimestamp);
        codec.Tags();
    }
}

/// <summary>The key of a group.</summary>
public sealed class GroupMetadataKey : IVersionedData
{
    public string Group = "";

    public static short MinVersion => 2;
    public static short MaxVersion => 2;
    public static short FirstFlexibleVersion => short.MaxValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Group);
        codec.Tags();
    }
}

/// <summary>A group of the classic protocol at the end of a rebalance. Kafka writes version 3.</summary>
public sealed class GroupMetadataValue : IVersionedData
{
    public string ProtocolType = "";
    public int Generation;
    public string? Protocol = "";
    public string? Leader = "";

    /// <summary>Milliseconds since 1970 of the last change of state.</summary>
    public long CurrentStateTimestamp = -1;

    public List<GroupMetadataMember> Members = [];

    public static short MinVersion => 0;
    public static short MaxVersion => 4;
    public static short FirstFlexibleVersion => 4;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref ProtocolType);
        codec.Int32(ref Generation);
        codec.NullableString(ref Protocol);
        codec.NullableString(ref Leader);
        if (version >= 2) codec.Int64(ref CurrentStateTimestamp);
        codec.Array(ref Members, version);
        codec.Tags();
    }
}

public sealed class GroupMetadataMember : IMessage
{
    public string MemberId = "";
    public string? GroupInstanceId;
    public string ClientId = "";
    public string ClientHost = "";
    public int RebalanceTimeoutMilliseconds = -1;
    public int SessionTimeoutMilliseconds;
    public byte[] Subscription = [];
    public byte[] Assignment = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        if (version >= 3) codec.NullableString(ref GroupInstanceId);
        codec.String(ref ClientId);
        codec.String(ref ClientHost);
        if (version >= 1) codec.Int32(ref RebalanceTimeoutMilliseconds);
        codec.Int32(ref SessionTimeoutMilliseconds);
        codec.Bytes(ref Subscription);
        codec.Bytes(ref Assignment);
        codec.Tags();
    }
}
