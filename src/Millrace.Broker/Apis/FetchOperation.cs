using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// One fetch from its request to its response. Synchronous: <see cref="ReadAvailable"/> takes what is there, and goes on where it was when it is called again,
/// so that a fetch that waits for many bytes reads each of them once.
/// </summary>
internal sealed class FetchOperation
{
    private const sbyte ReadCommitted = 1;

    private readonly FetchRequest _request;
    private readonly ILogger _logger;
    private readonly List<FetchTarget> _targets = [];
    private readonly int _maxByteCount;
    private int _byteCount;
    private bool _hasError;

    public FetchOperation(FetchRequest request, TopicCatalog topics, int maxByteCount, ILogger logger)
    {
        _request = request;
        _logger = logger;
        _maxByteCount = Math.Min(request.MaxBytes, maxByteCount);
        foreach (FetchTopic topic in request.Topics)
        {
            foreach (FetchPartition asked in topic.Partitions)
            {
                var target = new FetchTarget(new TopicPartition(topic.Name, asked.Index), asked);
                _targets.Add(target);
                Resolve(target, topics);
            }
        }

        Partitions = [.. _targets.Where(target => target.Log is not null).Select(target => target.TopicPartition)];
    }

    /// <summary>The partitions that exist.</summary>
    public IReadOnlyList<TopicPartition> Partitions { get; }

    /// <summary>Whether to answer at once: enough bytes, an error that the client has to see, or nothing that more could be read from.</summary>
    public bool IsEnough => _hasError || _byteCount >= _request.MinBytes || !_targets.Exists(target => target.IsOpen);

    /// <summary>Whether reading again would give more than there is. Reads published values only, on any thread.</summary>
    public bool HasProgressed
    {
        get
        {
            foreach (FetchTarget target in _targets)
            {
                if (target.IsOpen && target.HasProgressed)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Reads below the high watermark, in the order of the request, until the limits are reached.</summary>
    public void ReadAvailable()
    {
        foreach (FetchTarget target in _targets)
        {
            while (target.IsOpen && (!target.HasBeenRead || target.HasProgressed))
            {
                Read(target, target.Log!.HighWatermark);
            }
        }
    }

    public FetchResponse ToResponse()
    {
        var response = new FetchResponse();
        int next = 0;
        foreach (FetchTopic topic in _request.Topics)
        {
            var answered = new FetchTopicResponse { Name = topic.Name };
            response.Topics.Add(answered);
            for (int count = 0; count < topic.Partitions.Count; count++)
            {
                answered.Partitions.Add(ToResponse(_targets[next++]));
            }
        }

        Diagnostics.Fetched(_byteCount);
        return response;
    }

    private FetchPartitionResponse ToResponse(FetchTarget target)
    {
        if (target.Error != ErrorCode.None)
        {
            return new FetchPartitionResponse
            {
                Index = target.TopicPartition.Partition,
                ErrorCode = target.Error,
                HighWatermark = -1,
                AbortedTransactions = null,
                Records = ReadOnlyMemory<byte>.Empty,
            };
        }

        // There are no transactions, so everything below the high watermark is stable, and none is aborted.
        long highWatermark = target.Log!.HighWatermark.Value;
        return new FetchPartitionResponse
        {
            Index = target.TopicPartition.Partition,
            HighWatermark = highWatermark,
            LastStableOffset = highWatermark,
            LogStartOffset = target.Log.LogStartOffset.Value,
            AbortedTransactions = _request.IsolationLevel == ReadCommitted ? [] : null,
            Records = target.JoinBatches(),
        };
    }

    private void Resolve(FetchTarget target, TopicCatalog topics)
    {
        target.Log = topics.Find(target.TopicPartition);
        if (target.Log is null)
        {
            Fail(target, ErrorCode.UnknownTopicOrPartition);
        }
        else if (_request.ReplicaId >= 0)
        {
            // This node replicates to nobody. Consumers say -1, and debugging tools -2.
            Fail(target, ErrorCode.NotLeaderOrFollower);
        }
        else
        {
            Fail(target, LeaderEpochCheck.Judge(target.Log, target.Asked.CurrentLeaderEpoch));
        }
    }

    private void Read(FetchTarget target, Offset highWatermark)
    {
        int budget = _maxByteCount - _byteCount;
        bool isFirst = _byteCount == 0;
        if (budget <= 0 && !isFirst)
        {
            target.IsFull = true;
            return;
        }

        try
        {
            // The first batch of a response comes whole even above the limits; otherwise a batch larger than they are could never be read.
            int limit = Math.Min(budget, target.Asked.MaxBytes - target.ByteCount);
            switch (target.Log!.Read(target.NextOffset, limit, atLeastOneBatch: isFirst, highWatermark))
            {
                case ReadResult.Data data:
                    _byteCount += target.Add(data.Batches, highWatermark);
                    break;
                case ReadResult.OutOfRange:
                    Fail(target, ErrorCode.OffsetOutOfRange);
                    break;
                case ReadResult.Offline:
                    Fail(target, ErrorCode.KafkaStorageError);
                    break;
            }
        }
        catch (Exception bug)
        {
            // The other partitions of the request have their own fate.
            LogMessages.PartitionRequestFailed(_logger, bug, ApiKey.Fetch, target.TopicPartition);
            Fail(target, ErrorCode.UnknownServerError);
        }
    }

    private void Fail(FetchTarget target, ErrorCode error)
    {
        target.Error = error;
        _hasError |= error != ErrorCode.None;
    }

    /// <summary>One partition of a fetch, and what was read of it.</summary>
    private sealed class FetchTarget(TopicPartition topicPartition, FetchPartition asked)
    {
        private readonly List<ReadOnlyMemory<byte>> _batches = [];

        public TopicPartition TopicPartition { get; } = topicPartition;
        public FetchPartition Asked { get; } = asked;
        public PartitionLog? Log { get; set; }
        public ErrorCode Error { get; set; }

        /// <summary>Where the next read begins.</summary>
        public Offset NextOffset { get; private set; } = new(asked.FetchOffset);

        public int ByteCount { get; private set; }
        public bool HasBeenRead { get; private set; }

        /// <summary>Whether the next batch has no room within the limits.</summary>
        public bool IsFull { get; set; }

        public bool IsOpen => Log is not null && Error == ErrorCode.None && !IsFull;

        /// <summary>Whether a read would find something: records, or that the partition has gone offline.</summary>
        public bool HasProgressed => Log!.HighWatermark > NextOffset || !Log.IsOnline;

        /// <summary>Takes what was read below <paramref name="highWatermark"/>; returns its size.</summary>
        public int Add(ReadOnlyMemory<byte> batches, Offset highWatermark)
        {
            HasBeenRead = true;
            if (batches.IsEmpty)
            {
                // There is a batch, and it has no room: the next read would give the same.
                IsFull = NextOffset < highWatermark;
                return 0;
            }

            _batches.Add(batches);
            ByteCount += batches.Length;
            NextOffset = EndOf(batches.Span);
            return batches.Length;
        }

        public ReadOnlyMemory<byte> JoinBatches()
        {
            switch (_batches.Count)
            {
                case 0:
                    return ReadOnlyMemory<byte>.Empty;
                case 1:
                    return _batches[0];
                default:
                    byte[] joined = GC.AllocateUninitializedArray<byte>(ByteCount);
                    Span<byte> rest = joined;
                    foreach (ReadOnlyMemory<byte> batches in _batches)
                    {
                        batches.Span.CopyTo(rest);
                        rest = rest[batches.Length..];
                    }

                    return joined;
            }
        }

        private static Offset EndOf(ReadOnlySpan<byte> batches)
        {
            RecordBatchHeader header;
            do
            {
                header = RecordBatchHeader.Read(batches);
                batches = batches[header.TotalByteCount..];
            }
            while (!batches.IsEmpty);
            return header.NextOffset;
        }
    }
}
