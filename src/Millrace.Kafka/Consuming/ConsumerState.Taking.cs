using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Fetched records that are being opened, outside of the lock.</summary>
internal readonly record struct Opening(PartitionCursor Cursor, FetchedRecords Fetched, Offset From, long Version);

/// <content>What is handed out next.</content>
internal sealed partial class ConsumerState
{
    private int _takeStart;

    /// <summary>
    /// The next partition's records that have to be opened before anything, or anything more, can be handed out. Ends with <see cref="EndOpen"/>.
    /// </summary>
    public bool TryBeginOpen(out Opening opening)
    {
        for (int i = 0; i < _order.Count; i++)
        {
            PartitionCursor cursor = InTakeOrder(i);
            if (cursor is { IsTakeable: true, Open: null, IsBeingOpened: false } && cursor.Waiting.TryPeek(out FetchedRecords? fetched))
            {
                cursor.IsBeingOpened = true;
                fetched.BeginOpen();
                opening = new Opening(cursor, fetched, cursor.Position, cursor.Version);
                return true;
            }
        }

        opening = default;
        return false;
    }

    /// <summary>Takes over what was opened, unless the partition has moved on since.</summary>
    public void EndOpen(in Opening opening, RecordRun? run, Offset next, int byteCount, Exception? fault)
    {
        opening.Cursor.IsBeingOpened = false;
        opening.Fetched.EndOpen();
        bool isCurrent = opening.Cursor.Version == opening.Version
            && opening.Cursor.Waiting.TryPeek(out FetchedRecords? first)
            && ReferenceEquals(first, opening.Fetched);
        if (isCurrent)
        {
            opening.Cursor.EndOpen(run, next, byteCount, fault);
        }
        else
        {
            run?.Release(run.Token);
        }
    }

    /// <summary>Hands out opened records as they lie, of one partition.</summary>
    public RecordRun? TakeRun()
    {
        if (FindOpen() is not { } cursor)
        {
            return null;
        }

        RecordRun run = cursor.Open!;
        cursor.CloseOpen();
        cursor.PassTo(run.NextOffset, run, isWhole: true);
        _handedOutAs = _assignmentCount;
        _takeStart++;
        return run;
    }

    /// <summary>Hands out copies of opened records, partition after partition. Another partition is first when one has nothing open any more.</summary>
    public void Take(int maxRecords, List<ConsumerRecord> records)
    {
        while (records.Count < maxRecords && FindOpen() is { } cursor)
        {
            // As of the first of the records that go out together: what comes or goes before the last of them counts as later.
            _handedOutAs = records.Count == 0 ? _assignmentCount : _handedOutAs;
            RecordRun run = cursor.Open!;
            records.EnsureCapacity(Math.Min(maxRecords, records.Count + run.RecordCount));
            Offset next = run.Take(maxRecords - records.Count, records);
            cursor.PassTo(next, run, isWhole: run.RecordCount == 0);
            if (run.RecordCount == 0)
            {
                cursor.CloseOpen();
                run.Release(run.Token);
                _takeStart++;
            }
        }
    }

    /// <summary>The first fault that nobody was told of yet.</summary>
    public Exception? TakeFault()
    {
        if (_refusal is { } refusal)
        {
            _refusal = null;
            return refusal;
        }

        foreach (PartitionCursor cursor in _order)
        {
            if (cursor is { Fault: not null, IsHeld: false, HasBuffered: false })
            {
                return cursor.TakeFault();
            }
        }

        return null;
    }

    /// <summary>The opened records that are next; those that were begun are ended first, so that little is open at a time.</summary>
    private PartitionCursor? FindOpen()
    {
        for (int i = 0; i < _order.Count; i++)
        {
            PartitionCursor cursor = InTakeOrder(i);
            if (cursor is { IsTakeable: true, Open: not null })
            {
                _takeStart += i;
                return cursor;
            }
        }

        return null;
    }

    private PartitionCursor InTakeOrder(int index) => _order[(int)((uint)(_takeStart + index) % (uint)_order.Count)];
}
