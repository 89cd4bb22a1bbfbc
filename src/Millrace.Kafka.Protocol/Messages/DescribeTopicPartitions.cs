namespace Millrace.Kafka.Protocol;

/// <summary>Asks for topics and their partitions, page by page (KIP-966).</summary>
public sealed class DescribeTopicPartitionsRequest : IRequest<DescribeTopicPartitionsResponse>
{
    /// <summary>Empty for all.</summary>
    public List<TopicRequest> Topics = [];

    public int ResponsePartitionLimit = 2000;

    /// <summary>Where the answer begins.</summary>
    public Cursor? Cursor;

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeTopicPartitions, 0, 0, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Topics, version);
        codec.Int32(ref ResponsePartitionLimit);
        Cursor.Describe(ref codec, ref Cursor, version);
        codec.Tags();
    }
}

public sealed class TopicRequest : IMessage
{
    public string Name = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Tags();
    }
}

/// <summary>Where a page of partitions begins.</summary>
public sealed class Cursor : IMessage
{
    private const sbyte Absent = -1;
    private const sbyte Present = 1;

    public string TopicName = "";
    public int PartitionIndex;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TopicName);
        codec.Int32(ref PartitionIndex);
        codec.Tags();
    }

    /// <summary>A structure that may be null has a byte before it that says whether it is there.</summary>
    internal static void Describe<TCodec>(ref TCodec codec, ref Cursor? cursor, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        sbyte presence = cursor is null ? Absent : Present;
        codec.Int8(ref presence);
        if (presence < 0)
        {
            cursor = null;
            return;
        }

        cursor ??= new Cursor();
        cursor.Describe(ref codec, version);
    }
}

public sealed class DescribeTopicPartitionsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DescribedTopic> Topics = [];

    /// <summary>Null where this is the last page.</summary>
    public Cursor? NextCursor;

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Topics, version);
        Cursor.Describe(ref codec, ref NextCursor, version);
        codec.Tags();
    }
}

public sealed class DescribedTopic : IMessage
{
    public ErrorCode ErrorCode;
    public string? Name = "";
    public Guid TopicId;
    public bool IsInternal;
    public List<DescribedPartition> Partitions = [];
    public int TopicAuthorizedOperations = int.MinValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref Name);
        codec.Uuid(ref TopicId);
        codec.Boolean(ref IsInternal);
        codec.Array(ref Partitions, version);
        codec.Int32(ref TopicAuthorizedOperations);
        codec.Tags();
    }
}

public sealed class DescribedPartition : IMessage
{
    public ErrorCode ErrorCode;
    public int Index;
    public int LeaderId;
    public int LeaderEpoch = -1;
    public List<int> Replicas = [];
    public List<int> InSyncReplicas = [];
    public List<int>? EligibleLeaderReplicas;
    public List<int>? LastKnownElr;
    public List<int> OfflineReplicas = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.Int32(ref Index);
        codec.Int32(ref LeaderId);
        codec.Int32(ref LeaderEpoch);
        codec.Int32Array(ref Replicas);
        codec.Int32Array(ref InSyncReplicas);
        codec.NullableInt32Array(ref EligibleLeaderReplicas);
        codec.NullableInt32Array(ref LastKnownElr);
        codec.Int32Array(ref OfflineReplicas);
        codec.Tags();
    }
}
