namespace Millrace.Kafka.Protocol;

/// <summary>
/// Reads record batches. Version 4 brings record batch version 2 and the last stable offset; version 7 sessions (KIP-227); version 12 epochs (KIP-595);
/// version 13 names topics by id (KIP-516); version 15 moves what replicas say of themselves into a tagged field (KIP-903).
/// </summary>
public sealed class FetchRequest : IRequest<FetchResponse>, ITaggedMessage
{
    /// <summary>Set by replicas of the metadata quorum only.</summary>
    public string? ClusterId;

    /// <summary>-1 for a consumer. Up to version 14; then <see cref="ReplicaState"/>.</summary>
    public int ReplicaId = -1;

    public ReplicaState? ReplicaState;

    public int MaxWaitMilliseconds;
    public int MinBytes;
    public int MaxBytes = int.MaxValue;

    /// <summary>0 read uncommitted, 1 read committed.</summary>
    public sbyte IsolationLevel;

    public int SessionId;
    public int SessionEpoch = -1;
    public List<FetchTopic> Topics = [];
    public List<ForgottenTopic> ForgottenTopics = [];
    public string RackId = "";

    public static ApiDefinition Api { get; } = new(ApiKey.Fetch, 0, 17, FirstFlexibleVersion: 12);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version <= 14) codec.Int32(ref ReplicaId);
        codec.Int32(ref MaxWaitMilliseconds);
        codec.Int32(ref MinBytes);
        if (version >= 3) codec.Int32(ref MaxBytes);
        if (version >= 4) codec.Int8(ref IsolationLevel);
        if (version >= 7)
        {
            codec.Int32(ref SessionId);
            codec.Int32(ref SessionEpoch);
        }

        codec.Array(ref Topics, version);
        if (version >= 7) codec.Array(ref ForgottenTopics, version);
        if (version >= 11) codec.String(ref RackId);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (codec.BeginTag(0, ClusterId is not null, out int mark0))
        {
            codec.NullableString(ref ClusterId);
            codec.EndTag(mark0);
        }

        if (version >= 15 && codec.BeginTag(1, ReplicaState is not null, out int mark1))
        {
            (ReplicaState ??= new ReplicaState()).Describe(ref codec, version);
            codec.EndTag(mark1);
        }
    }
}

/// <summary>What a follower says of itself.</summary>
public sealed class ReplicaState : IMessage
{
    public int ReplicaId = -1;
    public long ReplicaEpoch = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ReplicaId);
        codec.Int64(ref ReplicaEpoch);
        codec.Tags();
    }
}

public sealed class FetchTopic : IMessage
{
    /// <summary>Up to version 12.</summary>
    public string Name = "";

    public Guid TopicId;
    public List<FetchPartition> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version <= 12) codec.String(ref Name);
        else codec.Uuid(ref TopicId);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class FetchPartition : ITaggedMessage
{
    public int Index;
    public int CurrentLeaderEpoch = -1;
    public long FetchOffset;
    public int LastFetchedEpoch = -1;
    public long LogStartOffset = -1;
    public int MaxBytes;

    /// <summary>Set by replicas only.</summary>
    public Guid ReplicaDirectoryId;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        if (version >= 9) codec.Int32(ref CurrentLeaderEpoch);
        codec.Int64(ref FetchOffset);
        if (version >= 12) codec.Int32(ref LastFetchedEpoch);
        if (version >= 5) codec.Int64(ref LogStartOffset);
        codec.Int32(ref MaxBytes);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 17 && codec.BeginTag(0, ReplicaDirectoryId != Guid.Empty, out int mark0))
        {
            codec.Uuid(ref ReplicaDirectoryId);
            codec.EndTag(mark0);
        }
    }
}

/// <summary>Partitions that leave a fetch session.</summary>
public sealed class ForgottenTopic : IMessage
{
    /// <summary>Up to version 12.</summary>
    public string Name = "";

    public Guid TopicId;
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version <= 12) codec.String(ref Name);
        else codec.Uuid(ref TopicId);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

public sealed class FetchResponse : ITaggedMessage, IThrottledResponse, IFrameOwner
{
    public int ThrottleMilliseconds;

    /// <summary>Of the session, not of a partition.</summary>
    public ErrorCode ErrorCode;

    public int SessionId;
    public List<FetchTopicResponse> Topics = [];

    /// <summary>Where the leaders that partitions name as current live (KIP-951). Version 16 and later.</summary>
    public List<NodeEndpoint> NodeEndpoints = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    /// <summary>Never set by reading: whoever reads the response says whether its frame goes with it.</summary>
    public FrameBuffer? Frame { get; set; }

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 1) codec.Int32(ref ThrottleMilliseconds);
        if (version >= 7)
        {
            codec.Error(ref ErrorCode);
            codec.Int32(ref SessionId);
        }

        codec.Array(ref Topics, version);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 16 && codec.BeginTag(0, NodeEndpoints.Count > 0, out int mark0))
        {
            codec.Array(ref NodeEndpoints, version);
            codec.EndTag(mark0);
        }
    }
}

public sealed class FetchTopicResponse : IMessage
{
    /// <summary>Up to version 12.</summary>
    public string Name = "";

    public Guid TopicId;
    public List<FetchPartitionResponse> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version <= 12) codec.String(ref Name);
        else codec.Uuid(ref TopicId);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class FetchPartitionResponse : ITaggedMessage
{
    public int Index;
    public ErrorCode ErrorCode;
    public long HighWatermark;
    public long LastStableOffset = -1;
    public long LogStartOffset = -1;

    /// <summary>Where the fetcher's log and the leader's part ways; set when the fetched epoch ends before the fetch offset.</summary>
    public EpochEndOffset? DivergingEpoch;

    public LeaderIdAndEpoch? CurrentLeader;
    public SnapshotId? SnapshotId;

    /// <summary>Null for a fetcher that reads uncommitted records.</summary>
    public List<AbortedTransaction>? AbortedTransactions = [];

    public int PreferredReadReplica = -1;
    public ReadOnlyMemory<byte>? Records;

    /// <summary>In place of <see cref="Records"/> in a response that is written while its records are not in memory. Never set by reading.</summary>
    public DetachedRecords? DetachedRecords { get; set; }

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.Int64(ref HighWatermark);
        if (version >= 4) codec.Int64(ref LastStableOffset);
        if (version >= 5) codec.Int64(ref LogStartOffset);
        if (version >= 4) codec.NullableArray(ref AbortedTransactions, version);
        if (version >= 11) codec.Int32(ref PreferredReadReplica);
        if (DetachedRecords is null) codec.Records(ref Records);
        else codec.Detached(DetachedRecords);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (codec.BeginTag(0, DivergingEpoch is not null, out int mark0))
        {
            (DivergingEpoch ??= new EpochEndOffset()).Describe(ref codec, version);
            codec.EndTag(mark0);
        }

        if (codec.BeginTag(1, CurrentLeader is not null, out int mark1))
        {
            (CurrentLeader ??= new LeaderIdAndEpoch()).Describe(ref codec, version);
            codec.EndTag(mark1);
        }

        if (codec.BeginTag(2, SnapshotId is not null, out int mark2))
        {
            (SnapshotId ??= new SnapshotId()).Describe(ref codec, version);
            codec.EndTag(mark2);
        }
    }
}

public sealed class EpochEndOffset : IMessage
{
    public int Epoch = -1;
    public long EndOffset = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Epoch);
        codec.Int64(ref EndOffset);
        codec.Tags();
    }
}

public sealed class SnapshotId : IMessage
{
    public long EndOffset = -1;
    public int Epoch = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref EndOffset);
        codec.Int32(ref Epoch);
        codec.Tags();
    }
}

public sealed class AbortedTransaction : IMessage
{
    public long ProducerId;
    public long FirstOffset;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref ProducerId);
        codec.Int64(ref FirstOffset);
        codec.Tags();
    }
}
