using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The journal that all partitions of a directory share: what several of them wait for goes to the disk with one write and one sync, and into their own files later.
/// </summary>
/// <remarks>
/// <para>
/// Two files take turns. When one is full, or old, the other one is begun, and the partitions that have something in the first are synced, nobody waiting for it. When all are, it is free
/// for its next turn. Where it is not in time, partitions are synced one by one, as without a journal.
/// </para>
/// <para>
/// There is no journal until it is wanted, and none after a clean stop. What a start finds was left by a crash: it is written back (<see cref="JournalReplay"/>) and deleted before anything
/// is appended, so that no stale piece is left to be written back later.
/// </para>
/// </remarks>
internal sealed class CommitJournal : IDisposable
{
    private const int FirstCapacity = 1 << 20;
    private const int StepByteCount = 1 << 20;
    private const int GrowthFactor = 8;

    /// <summary>How long what is in the journal may be missing in the partitions' own files, at which recovery points and compaction look.</summary>
    private static readonly TimeSpan MaximumAge = TimeSpan.FromSeconds(30);

    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly LogSettings _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _lock = new();

    // All guarded by the lock, but for the round, which is its runner's. While one runs the halves do not turn: its bytes are in the one that it began with.
    private readonly JournalRound _round = new();
    private bool _isRoundRunning;
    private bool _isStoreDue;
    private readonly JournalHalf[] _halves;
    private readonly Queue<PartitionLog> _toStore = new();
    private JournalHalf? _current;
    private JournalState _state;
    private long _generation;
    private long _sequence;
    private bool _isPreparing;

    /// <summary>The largest piece that a round can hold.</summary>
    public const int MaximumPieceByteCount =
        JournalFormat.MaximumRoundByteCount - JournalFormat.RoundHeaderByteCount - JournalFormat.PieceHeaderByteCount;

    public CommitJournal(LogSettings settings, IStorage storage, TimeProvider time, ILogger logger)
    {
        _settings = settings;
        _storage = storage;
        _directory = settings.Path;
        _time = time;
        _logger = logger;
        _halves = [.. FileNames.JournalHalves.Select(name => new JournalHalf($"{settings.Path}/{name}"))];
        _state = settings.JournalByteCount > 0 ? JournalState.InUse : JournalState.Off;
    }

    private enum JournalState
    {
        InUse,

        /// <summary>Nothing is written to it until the next start.</summary>
        Off,

        /// <summary>The same, and its files are those of an earlier process: a partition that is offline needs them.</summary>
        Kept,
    }

    private long MaximumCapacity => _settings.JournalByteCount / _halves.Length / JournalFormat.BlockByteCount * JournalFormat.BlockByteCount;

    /// <summary>The smallest journal for pieces of a size.</summary>
    public static long LeastByteCount(int pieceByteCount) => 2L * LeastRound(pieceByteCount);

    /// <summary>Whether a half is to be made or to grow.</summary>
    public bool WantsPreparation
    {
        get
        {
            lock (_lock)
            {
                return FindUnprepared() is not null;
            }
        }
    }

    /// <summary>The journal that the last process has left stays, for a partition that could not be written back.</summary>
    public void Keep()
    {
        lock (_lock)
        {
            _state = JournalState.Kept;
        }

        LogMessages.JournalKept(_logger, _directory);
    }

    /// <summary>
    /// Begins a round of what these partitions wait for. Null if they all have to be synced in their own files. One round runs at a time, up to <see cref="End"/>.
    /// </summary>
    /// <param name="forFiles">Takes those that have to be synced in their own files.</param>
    /// <param name="later">Takes those for which this round has no room.</param>
    public JournalRound? Begin(IReadOnlyList<PartitionLog> queued, List<PartitionLog> forFiles, List<PartitionLog> later)
    {
        lock (_lock)
        {
            if (FindWritable() is not { } half)
            {
                forFiles.AddRange(queued);
                return null;
            }

            Invariant.Holds(!_isRoundRunning, "one round of the journal runs at a time");
            _isRoundRunning = true;
            _round.Begin(half, _sequence + 1);
        }

        foreach (PartitionLog log in queued)
        {
            switch (log.TryBeginPiece(_settings.JournalPieceByteCount, _round.Room, out PieceOfLog piece))
            {
                case PieceOutcome.Begun:
                    _round.Add(piece);
                    break;
                case PieceOutcome.ForFiles:
                    forFiles.Add(log);
                    break;
                case PieceOutcome.NoRoom:
                    later.Add(log);
                    break;
            }
        }

        if (_round.Pieces.Count == 0)
        {
            Ended(round: null);
            return null;
        }

        return _round;
    }

    /// <summary>Ends a round. With an error nothing is acknowledged by it, and the journal is not used any more: its partitions are synced in their own files at once.</summary>
    public void End(JournalRound round, Exception? error)
    {
        if (error is null)
        {
            // Before anything is acknowledged: from then on the half must not be used again until the partitions have it.
            Written(round);
        }
        else
        {
            GiveUp(error);
        }

        foreach (PieceOfLog piece in round.Pieces)
        {
            if (error is null)
            {
                piece.Log.EndPiece(piece);
            }
            else
            {
                piece.Log.GiveUpPiece();
            }
        }

        foreach ((PieceOfLog piece, Exception unread) in round.Unread)
        {
            piece.Log.FailPiece(unread);
        }

        Ended(error is null ? round : null);
    }

    /// <summary>How many partitions <see cref="TakeToStore"/> has.</summary>
    public int ToStoreCount
    {
        get
        {
            lock (_lock)
            {
                return _toStore.Count;
            }
        }
    }

    /// <summary>A partition that has something in the journal which its own files lack, and is to be synced there; null if there is none.</summary>
    public PartitionLog? TakeToStore()
    {
        lock (_lock)
        {
            return _toStore.TryDequeue(out PartitionLog? log) ? log : null;
        }
    }

    /// <summary>Makes a half, or has it grow: written with zeros and synced, so that later syncs have nothing but the rounds to write.</summary>
    public void Prepare()
    {
        JournalHalf? half;
        long capacity = 0;
        lock (_lock)
        {
            half = _isPreparing ? null : FindUnprepared();
            _isPreparing |= half is not null;
            capacity = half?.WantedCapacity ?? 0;
        }

        if (half is null)
        {
            return;
        }

        try
        {
            Grow(half, capacity);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            GiveUp(exception);
        }

        lock (_lock)
        {
            _isPreparing = false;
        }
    }

    /// <summary>Whether something in the journal is old.</summary>
    public bool HasOld
    {
        get
        {
            lock (_lock)
            {
                return IsOld;
            }
        }
    }

    /// <summary>Has what is old in the journal come into the partitions' own files, when the round that runs has ended.</summary>
    public void StoreOld()
    {
        lock (_lock)
        {
            _isStoreDue = IsOld;
            if (_isStoreDue && !_isRoundRunning)
            {
                StoreCurrent();
            }
        }
    }

    /// <summary>
    /// What partitions that are offline may lack in their own files. Null if that is nothing. To be read before they are opened again.
    /// </summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public JournalReplay? ReadFor(IReadOnlyCollection<PartitionLog> offline)
    {
        List<(string Path, long? End)> halves = [];
        lock (_lock)
        {
            if (_state == JournalState.Kept && offline.Count > 0)
            {
                return JournalReplay.TryRead(_storage, _directory);
            }

            foreach (JournalHalf half in _halves)
            {
                // It stays as it is while one of these owes something: they are offline, and nobody else opens them.
                if (offline.Any(half.Owes))
                {
                    halves.Add((half.Path, half.Position));
                }
            }
        }

        return halves.Count == 0 ? null : JournalReplay.Read(_storage, halves);
    }

    /// <summary>Deletes its files, since every partition has everything in its own. The directory is to be synced.</summary>
    /// <exception cref="IOException">The disk refused.</exception>
    public void Delete()
    {
        Dispose();
        DeleteFiles(_storage, _directory);
    }

    /// <summary>Deletes the files of a journal; true if there were any. The directory is to be synced.</summary>
    public static bool DeleteFiles(IStorage storage, string directory)
    {
        bool wasThere = false;
        foreach (string name in FileNames.JournalHalves)
        {
            string path = $"{directory}/{name}";
            if (storage.FileExists(path))
            {
                storage.DeleteFile(path);
                wasThere = true;
            }
        }

        return wasThere;
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _state = JournalState.Off;
            foreach (JournalHalf half in _halves)
            {
                half.File?.Dispose();
            }
        }
    }

    private static int LeastRound(int pieceByteCount) =>
        JournalFormat.PaddedByteCount(JournalFormat.RoundHeaderByteCount + JournalFormat.PieceHeaderByteCount + pieceByteCount);

    private JournalHalf? FindUnprepared() =>
        _state == JournalState.InUse ? Array.Find(_halves, static half => half.Capacity < half.WantedCapacity) : null;

    /// <summary>The half that takes the next round, with room for one piece at least. Null if there is none now.</summary>
    private JournalHalf? FindWritable()
    {
        if (_state != JournalState.InUse)
        {
            return null;
        }

        if (_current is null)
        {
            foreach (JournalHalf half in _halves)
            {
                half.WantedCapacity = Math.Min(Math.Max(FirstCapacity, LeastRoundByteCount), MaximumCapacity);
            }
        }
        else if (_current.Capacity - _current.Position >= LeastRoundByteCount)
        {
            return _current;
        }

        JournalHalf? full = _current;
        if (!TryTurn())
        {
            return null;
        }

        // Full before it was old: the more there is to write, the larger is the half that its partitions are synced after.
        if (full is not null)
        {
            full.WantedCapacity = Math.Min(GrowthFactor * full.Capacity, MaximumCapacity);
        }

        return _current;
    }

    private bool IsOld => _current is { Position: > 0 } current && _time.GetElapsedTime(current.FirstRoundAt) >= MaximumAge;

    private int LeastRoundByteCount => LeastRound(_settings.JournalPieceByteCount);

    private void StoreCurrent()
    {
        _isStoreDue = false;
        JournalHalf old = _current!;
        if (!TryTurn())
        {
            // The other one is needed still. Its partitions are in their own files soon all the same.
            old.FirstRoundAt = _time.GetTimestamp();
            Store(old);
        }
    }

    /// <summary>Begins the other half, if nobody needs what is in it.</summary>
    private bool TryTurn()
    {
        Invariant.Holds(!_isRoundRunning, "the halves of the journal turn between two rounds");
        JournalHalf next = _current == _halves[0] ? _halves[1] : _halves[0];
        if (next.Capacity < LeastRoundByteCount || !next.TrySettle())
        {
            return false;
        }

        if (_current is not null)
        {
            Store(_current);
        }

        next.Begin(++_generation);
        _current = next;
        return true;
    }

    private void Store(JournalHalf half)
    {
        half.TrySettle();
        foreach (PartitionLog log in half.Debtors)
        {
            _toStore.Enqueue(log);
        }
    }

    private void Written(JournalRound round)
    {
        lock (_lock)
        {
            if (round.Pieces.Count == 0)
            {
                return;
            }

            _sequence++;
            JournalHalf half = round.Half;
            half.FirstRoundAt = half.Position == 0 ? _time.GetTimestamp() : half.FirstRoundAt;
            half.Written(round);
        }

        Diagnostics.Journaled(round.Pieces.Count, round.PaddedByteCount);
    }

    /// <summary>
    /// A round has ended, and its partitions know it. What was to be stored meanwhile is now. Not before: a flusher that takes a partition which does not know yet what the journal has finds
    /// nothing to store, and nobody would come back to it.
    /// </summary>
    /// <param name="round">What it has written; null if that is nothing.</param>
    private void Ended(JournalRound? round)
    {
        lock (_lock)
        {
            _isRoundRunning = false;
            if (_state == JournalState.InUse && _isStoreDue)
            {
                StoreCurrent();
            }
            else if (_state != JournalState.InUse && round is { Pieces.Count: > 0 })
            {
                // Given up meanwhile: those of this round were not among the partitions that were to be synced then.
                Store(round.Half);
            }
        }
    }

    private void GiveUp(Exception error)
    {
        lock (_lock)
        {
            if (_state != JournalState.InUse)
            {
                return;
            }

            _state = JournalState.Off;
            Array.ForEach(_halves, Store);
        }

        if (error is not ObjectDisposedException)
        {
            LogMessages.JournalFailed(_logger, _directory, error.Message);
        }
    }

    private void Grow(JournalHalf half, long capacity)
    {
        if (half.File is null)
        {
            half.File = _storage.Open(half.Path, StorageOpenMode.Create);

            // Before a round is written to it: a name that is lost would take the rounds with it.
            _storage.SyncDirectory(_directory);
        }

        byte[] zeros = new byte[(int)Math.Min(StepByteCount, capacity - half.Capacity)];
        for (long position = half.Capacity; position < capacity; position += zeros.Length)
        {
            int byteCount = (int)Math.Min(zeros.Length, capacity - position);
            half.File.Write(zeros.AsSpan(0, byteCount), position);
            half.File.SyncData();
        }

        lock (_lock)
        {
            half.Capacity = capacity;
        }
    }
}
