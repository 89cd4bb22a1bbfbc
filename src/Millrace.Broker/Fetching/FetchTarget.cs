using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;
using AbortedTransaction = Millrace.Log.AbortedTransaction;

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
    private SortedDictionary<Offset, AbortedTransaction>? _aborted;

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

    /// <summary>What was aborted among the records, for a reader of committed ones: in the order of the markers.</summary>
    public IReadOnlyCollection<AbortedTransaction> Aborted => _aborted is null ? [] : _aborted.Values;

    public bool IsOpen => Log is not null && Error == ErrorCode.None && DivergingEpoch is null && !IsFull;

    /// <summary>Takes what was read below <paramref name="end"/>; returns its size.</summary>
    public int Add(ReadResult.Data data, Offset end)
    {
        HasBeenRead = true;

        // If there is a batch and it has no room, the next read would give the same.
        IsFull = data.Batches.IsEmpty && NextOffset < end;
        _pieces.Add(data.Batches);
        Add(data.Aborted);
        NextOffset = data.NextOffset;
        return data.Batches.Length;
    }

    public int Add(ReadResult.InFile file)
    {
        HasBeenRead = true;
        _pieces.Add(file.Piece);
        Add(file.Aborted);
        NextOffset = file.Piece.NextOffset;
        return file.Piece.ByteCount;
    }

    /// <summary>One that goes over several reads comes with each of them: its marker is what it is known by.</summary>
    private void Add(IReadOnlyList<AbortedTransaction> aborted)
    {
        foreach (AbortedTransaction transaction in aborted)
        {
            (_aborted ??= []).TryAdd(transaction.LastOffset, transaction);
        }
    }

    /// <summary>Puts what was read into the answer: as bytes where all of it is in memory, or as what the connection takes from files.</summary>
    public void PutRecords(FetchPartitionResponse response)
    {
        response.Records = _pieces.TryJoin() ?? ReadOnlyMemory<byte>.Empty;
        response.DetachedRecords = _pieces.HasFiles ? _pieces : null;
    }
}
