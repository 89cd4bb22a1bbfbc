using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>A partition as a fetch names it: by the topic's name, or from version 13 on by its id; the other is empty.</summary>
internal readonly record struct FetchKey(string Topic, Guid TopicId, int Partition)
{
    public static FetchKey Of(FetchTopic topic, int partition) => new(topic.Name, topic.TopicId, partition);

    public static FetchKey Of(ForgottenTopic topic, int partition) => new(topic.Name, topic.TopicId, partition);

    public bool IsOfSameTopic(FetchKey other) => Topic == other.Topic && TopicId == other.TopicId;
}

/// <summary>One partition of a fetch, and what was read of it.</summary>
internal sealed class FetchTarget(FetchKey key, FetchPartition asked)
{
    private readonly RecordPieces _pieces = new();

    public FetchKey Key { get; } = key;
    public FetchPartition Asked { get; } = asked;
    public PartitionLog? Log { get; set; }
    public ErrorCode Error { get; set; }

    /// <summary>Where the log of the fetcher and this one part ways.</summary>
    public EpochEndOffset? DivergingEpoch { get; set; }

    /// <summary>Where the next read begins.</summary>
    public Offset NextOffset { get; private set; } = new(asked.FetchOffset);

    public int ByteCount => _pieces.ByteCount;
    public bool HasBeenRead { get; private set; }

    /// <summary>Whether the next batch has no room within the limits.</summary>
    public bool IsFull { get; set; }

    public bool IsOpen => Log is not null && Error == ErrorCode.None && DivergingEpoch is null && !IsFull;

    /// <summary>Takes what was read below <paramref name="end"/>; returns its size.</summary>
    public int Add(ReadResult.Data data, Offset end)
    {
        HasBeenRead = true;

        // If there is a batch and it has no room, the next read would give the same.
        IsFull = data.Batches.IsEmpty && NextOffset < end;
        _pieces.Add(data.Batches);
        NextOffset = data.NextOffset;
        return data.Batches.Length;
    }

    public int Add(LogPiece piece)
    {
        HasBeenRead = true;
        _pieces.Add(piece);
        NextOffset = piece.NextOffset;
        return piece.ByteCount;
    }

    /// <summary>Puts what was read into the answer: as bytes where all of it is in memory, or as what the connection takes from files.</summary>
    public void PutRecords(FetchPartitionResponse response)
    {
        response.Records = _pieces.TryJoin() ?? ReadOnlyMemory<byte>.Empty;
        response.DetachedRecords = _pieces.HasFiles ? _pieces : null;
    }
}
