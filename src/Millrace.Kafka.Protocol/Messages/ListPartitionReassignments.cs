namespace Millrace.Kafka.Protocol;

/// <summary>Asks which partitions are on their way to other brokers.</summary>
public sealed class ListPartitionReassignmentsRequest : IRequest<ListPartitionReassignmentsResponse>
{
    public int TimeoutMilliseconds = 60_000;
    public List<ListPartitionReassignmentsTopics>? Topics;

    public static ApiDefinition Api { get; } = new(ApiKey.ListPartitionReassignments, 0, 0, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref TimeoutMilliseconds);
        codec.NullableArray(ref Topics, version);
        codec.Tags();
    }
}

public sealed class ListPartitionReassignmentsTopics : IMessage
{
    public string Name = "";
    public List<int> PartitionIndexes = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int32Array(ref PartitionIndexes);
        codec.Tags();
    }
}

public sealed class ListPartitionReassignmentsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public string? ErrorMessage = "";
    public List<OngoingTopicReassignment> Topics = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class OngoingTopicReassignment : IMessage
{
    public string Name = "";
    public List<OngoingPartitionReassignment> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class OngoingPartitionReassignment : IMessage
{
    public int Index;
    public List<int> Replicas = [];
    public List<int> AddingReplicas = [];
    public List<int> RemovingReplicas = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Int32Array(ref Replicas);
        codec.Int32Array(ref AddingReplicas);
        codec.Int32Array(ref RemovingReplicas);
        codec.Tags();
    }
}
