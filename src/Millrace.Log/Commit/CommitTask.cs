namespace Millrace.Log;

/// <summary>
/// One thing that a flusher does: begun, run and ended one after the other on one thread, without a lock. In between others are begun and ended.
/// </summary>
internal abstract class CommitTask
{
    /// <summary>Whether it is a sync that somebody waits for.</summary>
    public virtual bool IsWaitedFor => false;

    /// <summary>Decides what is to be done. False if nothing is.</summary>
    public virtual bool TryBegin() => true;

    /// <summary>Does what waits for the disk.</summary>
    public abstract void Run();

    /// <summary>Tells those who wait for it.</summary>
    public virtual void End()
    {
    }
}

/// <summary>A round of the journal, of all partitions that were queued.</summary>
internal sealed class RoundTask(CommitJournal journal, IReadOnlyList<PartitionLog> queued) : CommitTask
{
    private JournalRound? _round;

    /// <summary>Those of the queued that are to be synced in their own files.</summary>
    public List<PartitionLog> ForFiles { get; } = [];

    /// <summary>Those of the queued that are to be in a later round.</summary>
    public List<PartitionLog> Later { get; } = [];

    /// <summary>What the disk of the journal answered.</summary>
    public Exception? Error { get; private set; }

    /// <summary>Those whose sync has begun.</summary>
    public IEnumerable<PartitionLog> Logs => _round?.Pieces.Select(static piece => piece.Log) ?? [];

    public override bool IsWaitedFor => true;

    public override bool TryBegin() => (_round = journal.Begin(queued, ForFiles, Later)) is not null;

    public override void Run() => Error = _round!.TryRun();

    public override void End() => journal.End(_round!, Error);
}

/// <summary>Why a partition's own files are synced.</summary>
internal enum FilesReason
{
    /// <summary>The journal cannot take it.</summary>
    NotForJournal,

    /// <summary>The journal has it, and is to be rid of it; nobody waits.</summary>
    Journaled,
}

/// <summary>A sync of a partition's own files.</summary>
internal sealed class FilesTask(PartitionLog log, FilesReason reason) : CommitTask
{
    private SyncWork? _work;

    public PartitionLog Log => log;

    public FilesReason Reason => reason;

    /// <summary>What the disk answered.</summary>
    public Exception? Error { get; private set; }

    /// <summary>Whether recovery points move to another segment by it.</summary>
    public bool CompletesSegment => _work is { CompletesSegment: true };

    public override bool IsWaitedFor => reason != FilesReason.Journaled;

    public override bool TryBegin()
    {
        _work = reason == FilesReason.Journaled ? log.BeginStore() : log.BeginQueuedSync();
        return _work is not null;
    }

    public override void Run() => Error = _work!.TryRun();

    public override void End() => log.EndSync(_work!, Error);
}

/// <summary>Recovery points, partitions that are to come back, and what is old in the journal.</summary>
internal sealed class HousekeepingTask(LogDirectory directory) : CommitTask
{
    public override void Run()
    {
        directory.WriteRecoveryPoints();
        directory.ReopenDue();
        directory.Journal.StoreOld();
    }
}

/// <summary>The journal is made, or grows.</summary>
internal sealed class PrepareTask(CommitJournal journal) : CommitTask
{
    public override void Run() => journal.Prepare();
}
