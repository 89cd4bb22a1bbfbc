using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>How much a fetch may read, and how.</summary>
/// <param name="MaxByteCount">Of all partitions together; the first batch comes even above it.</param>
/// <param name="MinPieceByteCount">From how many bytes on records stay in their file until they are sent.</param>
internal readonly record struct FetchLimits(int MinByteCount, int MaxByteCount, bool IsReadCommitted, int MinPieceByteCount);

/// <summary>
/// One fetch from its request to its response. Synchronous: <see cref="ReadAvailable"/> takes what is there, and goes on where it was when it is called again,
/// so that a fetch that waits for many bytes reads each of them once.
/// </summary>
internal sealed class FetchOperation
{
    /// <summary>The first version whose clients know zstd (KIP-110).</summary>
    private const short FirstVersionOfZstd = 10;

    private readonly IReadOnlyList<FetchTarget> _targets;
    private readonly FetchLimits _limits;
    private readonly TopicCatalog _topics;
    private readonly RequestContext _context;
    private readonly ILogger _logger;
    private bool _hasError;

    /// <param name="targets">In the order in which they are read and answered.</param>
    public FetchOperation(IReadOnlyList<FetchTarget> targets, FetchLimits limits, TopicCatalog topics, RequestContext context, ILogger logger)
    {
        _targets = targets;
        _limits = limits;
        _topics = topics;
        _context = context;
        _logger = logger;
        foreach (FetchTarget target in targets)
        {
            Resolve(target, topics);
        }

        Partitions = [.. targets.Where(target => target.Log is not null).Select(target => target.Log!.TopicPartition).Distinct()];
    }

    /// <summary>The partitions that exist, each once, however often it is named.</summary>
    public IReadOnlyList<TopicPartition> Partitions { get; }

    /// <summary>Of the records that were read.</summary>
    public int ByteCount { get; private set; }

    /// <summary>Whether to answer at once: enough bytes, an error that the client has to see, or nothing that more could be read from.</summary>
    public bool IsEnough => _hasError || ByteCount >= _limits.MinByteCount || !_targets.Any(target => target.IsOpen);

    /// <summary>Whether reading again would give more than there is. Reads published values only, on any thread.</summary>
    public bool HasProgressed
    {
        get
        {
            foreach (FetchTarget target in _targets)
            {
                if (target.IsOpen && HasMore(target))
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>What <see cref="ReadAvailable"/> would wait for the disk for; null where there is nothing. The caller disposes it.</summary>
    public List<ColdRange>? FindCold()
    {
        List<ColdRange>? cold = null;
        int budget = _limits.MaxByteCount;
        foreach (FetchTarget target in _targets)
        {
            int limit = Math.Min(budget, target.Asked.MaxBytes);
            if (limit <= 0 || !target.IsOpen || !HasMore(target))
            {
                continue;
            }

            budget -= limit;
            if (target.Log!.FindCold(target.NextOffset, limit) is { } range)
            {
                (cold ??= []).Add(range);
            }
        }

        return cold;
    }

    /// <summary>Reads what may be seen, in the order of the targets, until the limits are reached.</summary>
    public void ReadAvailable()
    {
        foreach (FetchTarget target in _targets)
        {
            while (target.IsOpen && (!target.HasBeenRead || HasMore(target)))
            {
                Read(target, EndOf(target.Log!));
            }
        }
    }

    public FetchPartitionResponse ToResponse(FetchTarget target)
    {
        if (target.Error != ErrorCode.None)
        {
            return new FetchPartitionResponse
            {
                Index = target.Key.Partition,
                ErrorCode = target.Error,
                HighWatermark = -1,
                AbortedTransactions = null,
                Records = ReadOnlyMemory<byte>.Empty,
            };
        }

        PartitionLog log = target.Log!;
        var response = new FetchPartitionResponse
        {
            Index = target.Key.Partition,
            HighWatermark = log.HighWatermark.Value,
            LastStableOffset = log.LastStableOffset.Value,
            LogStartOffset = log.LogStartOffset.Value,
            DivergingEpoch = target.DivergingEpoch,
            AbortedTransactions = _limits.IsReadCommitted ? [.. target.Aborted.Select(ToProtocol)] : null,
        };
        target.PutRecords(response);
        return response;
    }

    private static Kafka.Protocol.AbortedTransaction ToProtocol(Log.AbortedTransaction transaction) =>
        new() { ProducerId = transaction.ProducerId, FirstOffset = transaction.FirstOffset.Value };

    /// <summary>What this fetch may see of a partition ends here.</summary>
    private Offset EndOf(PartitionLog log) => _limits.IsReadCommitted ? log.LastStableOffset : log.HighWatermark;

    /// <summary>Whether a read would find something: records, or that the partition has gone offline.</summary>
    private bool HasMore(FetchTarget target) => EndOf(target.Log!) > target.NextOffset || !target.Log!.IsOnline;

    private void Resolve(FetchTarget target, TopicCatalog topics)
    {
        bool isById = target.Key.TopicId != Guid.Empty;
        Topic? topic = isById ? topics.Find(target.Key.TopicId) : topics.Find(target.Key.Topic);
        target.Log = topic?.Find(target.Key.Partition);
        if (target.Log is not { } log)
        {
            Fail(target, isById && topic is null ? ErrorCode.UnknownTopicId : ErrorCode.UnknownTopicOrPartition);
            return;
        }

        // Where the log of a partition ends that could not be read is not known, and no fetcher may take it for cut.
        Fail(target, log.IsOnline ? LeaderEpochCheck.Judge(log, target.Asked.CurrentLeaderEpoch) : OfflineError(target));
        if (target.Error == ErrorCode.None && log.Settings.Compression == CompressionCodec.Zstd && _context.Version < FirstVersionOfZstd)
        {
            Fail(target, ErrorCode.UnsupportedCompressionType);
        }

        if (target.Error == ErrorCode.None)
        {
            CheckDivergence(target, log);
        }
    }

    /// <summary>A fetcher whose last records are of an epoch that ended before where it wants to go on has records that are not here (KIP-595).</summary>
    private void CheckDivergence(FetchTarget target, PartitionLog log)
    {
        int fetched = target.Asked.LastFetchedEpoch;
        if (fetched < 0)
        {
            return;
        }

        if (log.EndOfLeaderEpoch(fetched) is not (int epoch, Offset end))
        {
            Fail(target, ErrorCode.OffsetOutOfRange);
        }
        else if (epoch < fetched || end.Value < target.Asked.FetchOffset)
        {
            target.DivergingEpoch = new EpochEndOffset { Epoch = epoch, EndOffset = end.Value };
            _hasError = true;
        }
    }

    private void Read(FetchTarget target, Offset end)
    {
        int budget = _limits.MaxByteCount - ByteCount;
        bool isFirst = ByteCount == 0;
        if (budget <= 0 && !isFirst)
        {
            target.IsFull = true;
            return;
        }

        try
        {
            // The first batch of a response comes whole even above the limits; otherwise a batch larger than they are could never be read.
            int limit = Math.Min(budget, target.Asked.MaxBytes - target.ByteCount);
            // What was aborted is learned with the records. The log of a later moment may not know it any more: who waits for more records, or for other partitions
            // of the same fetch, is overtaken by retention and compaction.
            switch (target.Log!.Read(target.NextOffset, limit, atLeastOneBatch: isFirst, end, _limits.MinPieceByteCount, _limits.IsReadCommitted))
            {
                case ReadResult.Data data:
                    ByteCount += target.Add(data, end);
                    break;
                case ReadResult.InFile file:
                    _context.KeepUntilSent(file.Piece);
                    ByteCount += target.Add(file);
                    break;
                case ReadResult.OutOfRange:
                    Fail(target, ErrorCode.OffsetOutOfRange);
                    break;
                case ReadResult.Offline:
                    Fail(target, OfflineError(target));
                    break;
            }
        }
        catch (Exception bug)
        {
            // The other partitions of the request have their own fate.
            LogMessages.PartitionRequestFailed(_logger, bug, ApiKey.Fetch, target.Log!.TopicPartition);
            Fail(target, ErrorCode.UnknownServerError);
        }
    }

    /// <summary>A topic that was deleted while the fetch waited is no fault of the disk.</summary>
    private ErrorCode OfflineError(FetchTarget target) =>
        _topics.Find(target.Log!.TopicPartition) == target.Log ? ErrorCode.KafkaStorageError
        : target.Key.TopicId != Guid.Empty ? ErrorCode.UnknownTopicId
        : ErrorCode.UnknownTopicOrPartition;

    private void Fail(FetchTarget target, ErrorCode error)
    {
        target.Error = error;
        _hasError |= error != ErrorCode.None;
    }
}
