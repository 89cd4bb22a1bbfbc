namespace Millrace.Kafka.Protocol;

/// <summary>Moves replicas of the broker that is asked from one of its data directories to another (KIP-113).</summary>
public sealed class AlterReplicaLogDirsRequest : IRequest<AlterReplicaLogDirsResponse>
{
    public List<AlterReplicaLogDir> Dirs = [];

    public static ApiDefinition Api { get; } = new(ApiKey.AlterReplicaLogDirs, 0, 2, FirstFlexibleVersion: 2);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Dirs, version);
        codec.Tags();
    }
}

public sealed class AlterReplicaLogDir : IMessage
{
    public string Path = "";
    public List<AlterReplicaLogDirTopic> Topics = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Path);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class AlterReplicaLogDirTopic : IMessage
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

public sealed class AlterReplicaLogDirsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<AlterReplicaLogDirTopicResult> Results = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Results, version);
        codec.Tags();
    }
}

public sealed class AlterReplicaLogDirTopicResult : IMessage
{
    public string TopicName = "";
    public List<AlterReplicaLogDirPartitionResult> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TopicName);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class AlterReplicaLogDirPartitionResult : IMessage
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
