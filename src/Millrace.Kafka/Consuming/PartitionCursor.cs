using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Where the position of a partition comes from.</summary>
internal enum PositionSource
{
    /// <summary>It is known.</summary>
    Known,

    /// <summary>The group's commit; without one, the reset.</summary>
    Committed,

    /// <summary>The reset that the options ask for.</summary>
    Reset,

    /// <summary>The beginning of the log, because the application asked for it.</summary>
    Beginning,

    /// <summary>The end of the log, because the application asked for it.</summary>
    End,
}

/// <summary>Bytes of one consumer that were fetched and not handed out.</summary>
internal sealed class BufferedBytes
{
    public long Count { get; set; }
}

/// <summary>One assigned partition: what was handed out, what waits, what is asked for next.</summary>
internal sealed class PartitionCursor(TopicPartition partition, long firstVersion, BufferedBytes buffered)
{
    private const int NoEpoch = -1;
    private const int NoReplica = -1;

    private int _bufferedByteCount;
    private long _planVersion;
    private long _questionVersion = -1;
    private bool _hasLeftFrames;
    private ClusterView? _olderView;

    public TopicPartition Partition { get; } = partition;

    /// <summary>Rises whenever the position jumps, over assignments too, so that answers to older questions are told apart.</summary>
    public long Version { get; private set; } = firstVersion;

    public PositionSource Source { get; private set; } = PositionSource.Committed;

    /// <summary>It came when the application had got records already: some of them may be of this partition, from when it was here before.</summary>
    public bool CameLate { get; init; }

    /// <summary>
    /// What the group had committed when it came late. A commit below would take back what another member has committed meanwhile. Seeks go below it; null if there is no such bound.
    /// </summary>
    public Offset? CommitFloor { get; set; }

    /// <summary>The next offset to hand out.</summary>
    public Offset Position { get; private set; }

    /// <summary>The leader epoch of the batch before the position, or what was said with the position; -1 if unknown.</summary>
    public int PositionEpoch { get; private set; } = NoEpoch;

    /// <summary>The first offset of <see cref="PositionEpoch"/> that was handed out or passed over; null if none was.</summary>
    public Offset? EpochStart { get; private set; }

    /// <summary>The next offset to ask the broker for: behind everything that waits.</summary>
    public Offset FetchOffset { get; private set; }

    /// <summary>The leader epoch of the batch before <see cref="FetchOffset"/>; -1 if unknown.</summary>
    public int FetchEpoch { get; private set; } = NoEpoch;

    /// <summary>What was fetched and not opened.</summary>
    public Queue<FetchedRecords> Waiting { get; } = new();

    /// <summary>What was opened and not handed out in full.</summary>
    public RecordRun? Open { get; private set; }

    /// <summary>Somebody opens the first of what waits.</summary>
    public bool IsBeingOpened { get; set; }

    /// <summary>The latest fetch that the partition is part of, perhaps of a position before the last jump; null if it is part of none.</summary>
    public FetchPlan? Plan { get; private set; }

    /// <summary>The leader epoch that it was told.</summary>
    public int AskedEpoch { get; private set; }

    public bool IsPaused { get; set; }

    /// <summary>A rebalance callback is under way: nothing is handed out.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Something that only a seek mends. Told once, then the partition rests.</summary>
    public bool IsStuck { get; private set; }

    /// <summary>What is to be told by the next poll.</summary>
    public Exception? Fault { get; private set; }

    /// <summary>Somebody looks the position up, as it is now, or compares it with a leader's log.</summary>
    public bool IsAskedAbout => _questionVersion == Version;

    /// <summary>The partition had no leader when one was last looked for.</summary>
    public bool IsLeaderMissing { get; set; }

    public TimeSpan RetryAt { get; set; }

    public int FailureCount { get; set; }

    /// <summary>The topic's id when the position was last good; all zero if unknown.</summary>
    public Guid TopicId { get; set; }

    /// <summary>The leader epoch under which the fetch position was found to be in the leader's log (KIP-320).</summary>
    public int ValidatedEpoch { get; private set; } = NoEpoch;

    /// <summary>How many pictures of the cluster named a leader that is older than the epoch of the fetch position, since that jumped.</summary>
    public int OlderViewCount { get; private set; }

    /// <summary>The replica that the leader sent us to (KIP-392); -1 for the leader.</summary>
    public int PreferredReplica { get; private set; } = NoReplica;

    public TimeSpan PreferredUntil { get; private set; }

    /// <summary>What the last answer said of the log's ends.</summary>
    public PartitionWatermarks? Watermarks { get; set; }

    public bool HasBuffered => Open is not null || Waiting.Count > 0;

    public bool IsTakeable => this is { IsPaused: false, IsHeld: false };

    /// <summary>A fetch of the position as it is now is under way.</summary>
    public bool IsUnderWay => Plan is not null && _planVersion == Version;

    /// <summary>Jumps to an offset.</summary>
    public void MoveTo(Offset offset, int leaderEpoch = NoEpoch)
    {
        Forget();
        Source = PositionSource.Known;
        CommitFloor = CommitFloor > offset ? offset : CommitFloor;
        Position = offset;
        PositionEpoch = leaderEpoch;
        EpochStart = null;
        FetchOffset = offset;
        FetchEpoch = leaderEpoch;
        ValidatedEpoch = NoEpoch;
    }

    /// <summary>Has the position looked up.</summary>
    public void LookUp(PositionSource source)
    {
        Forget();
        CommitFloor = null;
        Source = source;
    }

    /// <summary>Drops what waits and fetches it again. The position stays.</summary>
    public void Refetch()
    {
        Drop();
        Version++;
        FetchOffset = Position;
        FetchEpoch = PositionEpoch;
    }

    /// <summary>From here to the answer the position is asked about, unless it jumps meanwhile.</summary>
    public void BeginQuestion() => _questionVersion = Version;

    public void EndQuestion() => _questionVersion = -1;

    /// <summary>Drops all that waits, what is opened as well, to be fetched again.</summary>
    public void GiveWay()
    {
        if (HasBuffered && !IsBeingOpened && !IsStuck)
        {
            Refetch();
        }
    }

    /// <summary>
    /// Takes what waits out of the frames that it came in, where it is the smaller part of them: nobody knows when it is handed out, and until then all of the frame
    /// would stay in memory.
    /// </summary>
    public void LeaveFrames()
    {
        if (_hasLeftFrames || IsBeingOpened)
        {
            return;
        }

        _hasLeftFrames = true;
        Open?.LeaveFrame();
        foreach (FetchedRecords fetched in Waiting)
        {
            fetched.LeaveFrame();
        }
    }

    /// <summary>Drops what is fetched and not opened, to be fetched again.</summary>
    public void DropWaiting()
    {
        if (IsBeingOpened || IsStuck || Waiting.Count == 0)
        {
            return;
        }

        DropUnopened();
        Version++;
        FetchOffset = Open?.NextOffset ?? Position;
        FetchEpoch = Open?.LeaderEpoch ?? PositionEpoch;
    }

    /// <summary>Becomes part of a fetch.</summary>
    public void Join(FetchPlan plan, int leaderEpoch)
    {
        Plan = plan;
        AskedEpoch = leaderEpoch;
        _planVersion = Version;
    }

    /// <summary>Is no longer part of a fetch.</summary>
    public void Leave(FetchPlan plan)
    {
        if (ReferenceEquals(Plan, plan))
        {
            Plan = null;
        }
    }

    /// <summary>Takes over what was fetched at <see cref="FetchOffset"/>.</summary>
    public void Add(FetchedRecords fetched)
    {
        _hasLeftFrames = false;
        Waiting.Enqueue(fetched);
        Count(fetched.ByteCount);
        FetchOffset = fetched.NextOffset;
        FetchEpoch = fetched.LeaderEpoch >= 0 ? fetched.LeaderEpoch : FetchEpoch;
        IsStuck |= fetched.IsDamaged;
    }

    /// <summary>Takes over what was opened of the first that waits, or that nothing was.</summary>
    public void EndOpen(RecordRun? run, Offset next, int byteCount, Exception? fault)
    {
        _hasLeftFrames = false;
        FetchedRecords first = Waiting.Peek();
        if (first.IsExhausted)
        {
            Waiting.Dequeue();
            first.Drop();
        }

        Open = run;
        if (run is null)
        {
            // Offsets that hold no record any more, or none for the application, are passed as well.
            if (next > Position)
            {
                PassTo(next, first.PassedEpoch, first.PassedEpochStart);
            }

            Count(-byteCount);
        }

        if (fault is not null)
        {
            Drop();
            FetchOffset = Position;
            FetchEpoch = PositionEpoch;
            Stick(fault);
        }
    }

    /// <summary>Moves the position past records of a run that are handed out; their last one is where the run's cursor is, unless all are.</summary>
    public void PassTo(Offset offset, RecordRun run, bool isWhole)
    {
        int epoch = isWhole ? run.LeaderEpoch : run.Cursor.LeaderEpoch;

        // Not too late: where the run has several epochs, and the last one is not begun, one that is lies somewhere from here on.
        PassTo(offset, epoch, epoch == run.LeaderEpoch ? run.EpochStart : Position);
    }

    /// <summary>The open run is handed out in full, or belongs to somebody else now.</summary>
    public void CloseOpen()
    {
        Count(-Open!.FetchedByteCount);
        Open = null;
    }

    public void SetPreferredReplica(int nodeId, TimeSpan until)
    {
        PreferredReplica = nodeId;
        PreferredUntil = until;
    }

    public void ClearPreferredReplica() => PreferredReplica = NoReplica;

    /// <summary>A picture of the cluster names a leader that is older than the epoch of the fetch position. Each is counted once.</summary>
    public void Doubt(ClusterView view)
    {
        OlderViewCount += ReferenceEquals(view, _olderView) ? 0 : 1;
        _olderView = view;
    }

    public void SetValidated(int leaderEpoch) => ValidatedEpoch = Math.Max(ValidatedEpoch, leaderEpoch);

    /// <summary>The record before the position is of another epoch than was thought. Nothing waits.</summary>
    public void SetEpoch(int epoch)
    {
        PositionEpoch = epoch;
        FetchEpoch = epoch;
    }

    /// <summary>Leader epochs begin anew, since the topic is another one.</summary>
    public void ForgetEpochs()
    {
        PositionEpoch = NoEpoch;
        FetchEpoch = NoEpoch;
        EpochStart = null;
        ValidatedEpoch = NoEpoch;
    }

    /// <summary>Stops until a seek.</summary>
    public void Stick(Exception fault)
    {
        IsStuck = true;
        Fault = fault;
    }

    /// <summary>An attempt failed, and another follows: the next poll tells.</summary>
    public void Tell(Exception fault)
    {
        if (!IsStuck)
        {
            Fault = fault;
        }
    }

    /// <summary>An attempt succeeded: what failed before is over.</summary>
    public void Recover()
    {
        FailureCount = 0;
        if (!IsStuck)
        {
            Fault = null;
        }
    }

    public Exception? TakeFault()
    {
        Exception? fault = Fault;
        Fault = null;
        return fault;
    }

    /// <summary>Gives back all memory.</summary>
    public void Drop()
    {
        if (Open is { } run)
        {
            CloseOpen();
            run.Release(run.Token);
        }

        DropUnopened();
    }

    private void PassTo(Offset offset, int epoch, Offset epochStart)
    {
        if (epoch != PositionEpoch || EpochStart is null)
        {
            EpochStart = Offset.Max(Position, epochStart);
            PositionEpoch = epoch;
        }

        Position = Offset.Max(Position, offset);
    }

    private void DropUnopened()
    {
        foreach (FetchedRecords fetched in Waiting)
        {
            fetched.Drop();
        }

        Waiting.Clear();
        Count((Open?.FetchedByteCount ?? 0) - _bufferedByteCount);
    }

    private void Count(int byteCount)
    {
        _bufferedByteCount += byteCount;
        buffered.Count += byteCount;
    }

    private void Forget()
    {
        Version++;
        Drop();
        IsStuck = false;
        Fault = null;
        RetryAt = TimeSpan.Zero;
        FailureCount = 0;
        OlderViewCount = 0;
        PreferredReplica = NoReplica;
    }
}
