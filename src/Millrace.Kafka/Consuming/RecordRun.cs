using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Records of one partition that were checked and lie one behind another: batches in the frame that they came with, or one batch that was decompressed. It holds that
/// memory until it is released, and is used again then: who is not its owner knows it by its token.
/// </summary>
internal sealed class RecordRun(RecordRunPool pool)
{
    /// <summary>Bytes of a slab that records are copied to. What keeps one record keeps at most this much, or the record's own size.</summary>
    private const int SlabByteCount = 64 * 1024;

    private FrameBuffer? _frame;
    private byte[]? _array;
    private RecordCursor _cursor;
    private int _token;

    public int Token => Volatile.Read(ref _token);

    public TopicPartition Partition { get; private set; }

    public ReadOnlyMemory<byte> Memory { get; private set; }

    /// <summary>Records that were not taken yet.</summary>
    public int RecordCount { get; private set; }

    /// <summary>Where to go on behind it and what follows it without a record for the application.</summary>
    public Offset NextOffset { get; set; }

    /// <summary>The leader epoch of the last batch before <see cref="NextOffset"/>, and where that epoch begins in it or behind it.</summary>
    public int LeaderEpoch { get; private set; }

    public Offset EpochStart { get; private set; }

    /// <summary>The bytes that it was in the fetch.</summary>
    public int FetchedByteCount { get; set; }

    public RecordCursor Cursor => _cursor;

    /// <summary>Batches in a frame, which it retains.</summary>
    public void OpenInFrame(TopicPartition partition, FrameBuffer? frame, ReadOnlyMemory<byte> batch, in RecordBatchHeader header)
    {
        frame?.Retain();
        _frame = frame;
        Open(partition, batch, header, RecordCursor.AtBatches());
    }

    /// <summary>One decompressed batch in an array of the shared pool, which it takes over.</summary>
    public void OpenDecompressed(TopicPartition partition, byte[] array, int byteCount, in RecordBatchHeader header)
    {
        _array = array;
        Open(partition, array.AsMemory(0, byteCount), header, RecordCursor.AtRecords(header));
    }

    /// <summary>One more batch, which lies right behind in the frame.</summary>
    public void Extend(ReadOnlyMemory<byte> whole, in RecordBatchHeader header)
    {
        Memory = whole;
        RecordCount += header.RecordCount;
        Pass(header);
    }

    /// <summary>One more batch follows, without a record for the application.</summary>
    public void Pass(in RecordBatchHeader header)
    {
        NextOffset = header.NextOffset;
        if (header.LeaderEpoch != LeaderEpoch)
        {
            LeaderEpoch = header.LeaderEpoch;
            EpochStart = header.BaseOffset;
        }
    }

    /// <summary>Copies its memory into an array of the shared pool and gives the frame back, where it is less than half of the frame. Only while nobody else reads it.</summary>
    public void LeaveFrame()
    {
        if (_frame is not { } frame || Memory.Length > frame.Bytes.Length / 2)
        {
            return;
        }

        _array = System.Buffers.ArrayPool<byte>.Shared.Rent(Memory.Length);
        Memory.CopyTo(_array);
        Memory = _array.AsMemory(0, Memory.Length);
        _frame = null;
        frame.Release();
    }

    /// <summary>Passes records before an offset.</summary>
    public void SkipTo(Offset offset) => RecordCount -= _cursor.SkipTo(offset, Memory.Span);

    /// <summary>Copies records into memory of their own. Returns the offset behind the last one.</summary>
    public Offset Take(int maxRecords, List<ConsumerRecord> records)
    {
        Offset next = NextOffset;
        while (maxRecords > 0 && RecordCount > 0)
        {
            int start = _cursor.Position;
            RecordCursor end = _cursor;
            int count = 0;
            while (count < maxRecords && count < RecordCount && end.Position - start < SlabByteCount && end.TryMoveNext(Memory.Span))
            {
                count++;
            }

            // Copied up to here: positions in the slab are those in the run less its start.
            byte[] slab = GC.AllocateUninitializedArray<byte>(end.Position - start);
            Memory.Span[start..end.Position].CopyTo(slab);
            for (int i = 0; i < count; i++)
            {
                _cursor.TryMoveNext(Memory.Span);
                records.Add(ToRecord(slab, start));
            }

            next = _cursor.Offset.Next;
            RecordCount -= count;
            maxRecords -= count;
        }

        return RecordCount == 0 ? NextOffset : next;
    }

    /// <summary>Gives the memory back, once; a second call with the same token does nothing.</summary>
    public void Release(int token)
    {
        if (Interlocked.CompareExchange(ref _token, unchecked(token + 1), token) != token)
        {
            return;
        }

        _frame?.Release();
        _frame = null;
        if (_array is { } array)
        {
            _array = null;
            System.Buffers.ArrayPool<byte>.Shared.Return(array);
        }

        Memory = default;
        pool.Return(this);
    }

    private void Open(TopicPartition partition, ReadOnlyMemory<byte> memory, in RecordBatchHeader header, RecordCursor cursor)
    {
        Partition = partition;
        Memory = memory;
        RecordCount = header.RecordCount;
        NextOffset = header.NextOffset;
        LeaderEpoch = header.LeaderEpoch;
        EpochStart = header.BaseOffset;
        FetchedByteCount = 0;
        _cursor = cursor;
    }

    private ConsumerRecord ToRecord(byte[] slab, int start) => new(
        Partition,
        _cursor.Offset,
        _cursor.LeaderEpoch,
        ConsumerRecord.ToTime(_cursor.Timestamp),
        _cursor.KeyOf(slab, start),
        _cursor.ValueOf(slab, start),
        _cursor.HeadersOf(slab, start));
}

/// <summary>Runs that wait to be used again, so that reading allocates none.</summary>
internal sealed class RecordRunPool
{
    private const int MaxCount = 64;

    private readonly Stack<RecordRun> _free = new(MaxCount);
    private readonly Lock _gate = new();

    public RecordRun Rent()
    {
        lock (_gate)
        {
            return _free.TryPop(out RecordRun? run) ? run : new RecordRun(this);
        }
    }

    public void Return(RecordRun run)
    {
        lock (_gate)
        {
            if (_free.Count < MaxCount)
            {
                _free.Push(run);
            }
        }
    }
}
