using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What a producer knows of one topic: its partitions' batches, the records that wait for its metadata, and where keyless records go.</summary>
internal sealed class TopicState(string name)
{
    private readonly List<PartitionQueue?> _queues = [];
    private readonly HashSet<int> _stalledLeaders = [];
    private int[] _available = [];
    private int[] _leaders = [];
    private int[] _weights = [];

    public string Name { get; } = name;

    /// <summary>Records that wait for metadata. Stays while its look-up is under way, even if it is empty: the look-up ends it. Null while there is none.</summary>
    public LinkedList<WaitingRecord>? Waiters { get; set; }

    /// <summary>What the cluster says of it. Set before a record is appended.</summary>
    public TopicDescription? Description
    {
        get;
        set
        {
            if (!ReferenceEquals(field, value))
            {
                field = value;
                Describe(value!);
            }
        }
    }

    /// <summary>What a batch may hold, where a broker has found one too large.</summary>
    public int MaxBatchByteCount { get; private set; } = int.MaxValue;

    /// <summary>A batch of so many bytes was too large: those to come are smaller.</summary>
    public void LimitBatches(long refusedByteCount) => MaxBatchByteCount = (int)Math.Clamp(refusedByteCount / 2, 1, MaxBatchByteCount);

    /// <summary>Where records without a key go at present; -1 before the first.</summary>
    public int StickyPartition { get; private set; } = -1;

    /// <summary>Bytes that went to the sticky partition since it was chosen.</summary>
    public int StickyByteCount { get; private set; }

    public PartitionQueue Queue(int partition)
    {
        while (_queues.Count <= partition)
        {
            _queues.Add(null);
        }

        return _queues[partition] ??= new PartitionQueue(new TopicPartition(Name, partition));
    }

    public IEnumerable<PartitionQueue> Queues => _queues.OfType<PartitionQueue>();

    /// <summary>The sticky partition; a new one where there is none, or where it has no leader any more.</summary>
    public int Stick(Chance chance, ProducerSettings settings, TimeSpan now)
    {
        if (StickyPartition < 0)
        {
            MoveOn(chance, settings, now);
        }

        return StickyPartition;
    }

    /// <summary>
    /// A record went to the sticky partition. After a batch of bytes the next partition is taken, as soon as no half-full batch stays behind; at the
    /// latest after two (KIP-794): so a slow broker gets no more than a quick one.
    /// </summary>
    public void CountSticky(int byteCount, int batchByteCount, Chance chance, ProducerSettings settings, TimeSpan now)
    {
        StickyByteCount += byteCount;
        bool leavesNoneOpen = Queue(StickyPartition).Open is not { } open || open.EstimatedByteCount >= batchByteCount;
        if ((StickyByteCount >= batchByteCount && leavesNoneOpen) || StickyByteCount >= 2L * batchByteCount)
        {
            MoveOn(chance, settings, now);
        }
    }

    private void Describe(TopicDescription topic)
    {
        PartitionDescription[] available = [.. topic.Partitions.Where(static partition => partition.LeaderId >= 0)];
        if (available.Length == 0)
        {
            available = [.. topic.Partitions];
        }

        _available = Array.ConvertAll(available, static partition => partition.Partition);
        _leaders = Array.ConvertAll(available, static partition => partition.LeaderId);

        _weights = new int[_available.Length];
        if (Array.IndexOf(_available, StickyPartition) < 0)
        {
            StickyPartition = -1;
        }
    }

    /// <summary>By chance; where the partitions' lines differ in length, the shorter a line the likelier. None of a broker that takes nothing, where another one does.</summary>
    private void MoveOn(Chance chance, ProducerSettings settings, TimeSpan now)
    {
        StickyByteCount = 0;
        FindStalledLeaders(settings.PartitionAvailabilityTimeout, now);
        int candidateCount = 0;
        int longest = 0;
        int shortest = int.MaxValue;
        for (int i = 0; i < _available.Length; i++)
        {
            if (IsCandidate(i))
            {
                candidateCount++;
                _weights[i] = settings.IsPartitioningAdaptive ? Queue(_available[i]).Waiting.Count : 0;
                longest = Math.Max(longest, _weights[i]);
                shortest = Math.Min(shortest, _weights[i]);
            }
        }

        int total = 0;
        for (int i = 0; i < _available.Length; i++)
        {
            // Where no line is longer than another, the partition that is left is not taken again if there is another one. Where one is, it may be: of two partitions,
            // the one with the long line would get every second batch otherwise.
            bool isLeft = _available[i] == StickyPartition && candidateCount > 1 && longest == shortest;
            _weights[i] = isLeft || !IsCandidate(i) ? 0 : longest + 1 - _weights[i];
            total += _weights[i];
        }

        int drawn = chance.Next(total);
        int chosen = 0;
        while (drawn >= _weights[chosen])
        {
            drawn -= _weights[chosen++];
        }

        StickyPartition = _available[chosen];
    }

    /// <summary>Leaders that have taken nothing for too long; none where that is all of them.</summary>
    private void FindStalledLeaders(TimeSpan? timeout, TimeSpan now)
    {
        _stalledLeaders.Clear();
        if (timeout is null)
        {
            return;
        }

        for (int i = 0; i < _available.Length; i++)
        {
            if (Queue(_available[i]).Stall is { } stall && stall.NodeId == _leaders[i] && now - stall.Since > timeout)
            {
                _stalledLeaders.Add(stall.NodeId);
            }
        }

        if (Array.TrueForAll(_leaders, _stalledLeaders.Contains))
        {
            _stalledLeaders.Clear();
        }
    }

    private bool IsCandidate(int index) => !_stalledLeaders.Contains(_leaders[index]);
}
