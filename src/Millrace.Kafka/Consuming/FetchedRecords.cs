using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// What one fetch brought of one partition: whole batches in the frame of the answer, which it holds. Only their headers were looked at when they came; checksum,
/// decompression and records are the reader's, once, when their turn comes, and batches are passed over then that are not for the application.
/// </summary>
internal sealed class FetchedRecords
{
    /// <summary>A run ends with the batch that makes it this long, so that what was just checked is still near the processor when it is read.</summary>
    private const int RunByteCount = 128 * 1024;

    private readonly TopicPartition _partition;
    private readonly AbortedFilter? _aborted;
    private ReadOnlyMemory<byte> _bytes;
    private FrameBuffer? _frame;
    private RecordBatchHeader _header;
    private bool _isHeaderChecked;
    private int _position;
    private bool _isBeingOpened;
    private bool _isDropped;

    /// <summary>Looks at the headers of what came.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="bytes">Batches as they came, in <paramref name="frame"/>.</param>
    /// <param name="frame">Retained here, until <see cref="Drop"/>; null where the bytes lie in memory that nobody reuses.</param>
    /// <param name="from">The offset that was asked for.</param>
    /// <param name="aborted">Null where records of aborted transactions are read as well.</param>
    public FetchedRecords(TopicPartition partition, ReadOnlyMemory<byte> bytes, FrameBuffer? frame, Offset from, AbortedFilter? aborted)
    {
        _partition = partition;
        _frame = frame;
        _aborted = aborted;
        NextOffset = from;
        _bytes = bytes[..Measure(bytes.Span)];
        if (!_bytes.IsEmpty)
        {
            frame?.Retain();
        }
    }

    /// <summary>Where the next fetch goes on, if these are what they seem to be.</summary>
    public Offset NextOffset { get; private set; }

    /// <summary>The leader epoch of the last batch; -1 without one.</summary>
    public int LeaderEpoch { get; private set; } = -1;

    /// <summary>Not even the first batch is whole or of a known version: opening will tell.</summary>
    public bool IsDamaged { get; private set; }

    /// <summary>The leader epoch of the last batch that was passed or opened, and where that epoch begins here; -1 before the first.</summary>
    public int PassedEpoch { get; private set; } = -1;

    public Offset PassedEpochStart { get; private set; }

    public int ByteCount => _bytes.Length;

    public bool IsEmpty => _bytes.IsEmpty;

    public bool IsExhausted => _position == _bytes.Length;

    /// <summary>Nobody drops the memory from here to <see cref="EndOpen"/>. Under the consumer's lock, as that.</summary>
    public void BeginOpen() => _isBeingOpened = true;

    public void EndOpen()
    {
        _isBeingOpened = false;
        if (_isDropped)
        {
            _frame?.Release();
        }
    }

    /// <summary>Copies what is left into memory of its own and gives the frame back, where that is less than half of the frame. Not while it is being opened.</summary>
    public void LeaveFrame()
    {
        if (_isDropped || _frame is not { } frame || _bytes.Length - _position > frame.Bytes.Length / 2)
        {
            return;
        }

        _bytes = _bytes[_position..].ToArray();
        _position = 0;
        _frame = null;
        frame.Release();
    }

    /// <summary>Gives the frame back, once it is not being opened.</summary>
    public void Drop()
    {
        if (_isDropped || IsEmpty)
        {
            return;
        }

        _isDropped = true;
        if (!_isBeingOpened)
        {
            _frame?.Release();
        }
    }

    /// <summary>
    /// Checks and opens the next records with this offset or a later one. Not under a lock: a large or compressed batch takes its time. Null where no record was left
    /// before the end or before <paramref name="fault"/>.
    /// </summary>
    /// <param name="from">Earlier records are passed over.</param>
    /// <param name="maxDecompressedByteCount">The most that one batch may decompress to.</param>
    /// <param name="pool">Where runs come from.</param>
    /// <param name="next">The offset behind what was passed.</param>
    /// <param name="byteCount">The bytes that were passed.</param>
    /// <param name="fault">Why it goes no further; told again by the next call.</param>
    public RecordRun? OpenNext(
        Offset from, int maxDecompressedByteCount, RecordRunPool pool, out Offset next, out int byteCount, out KafkaCorruptBatchException? fault)
    {
        int start = _position;
        int runStart = 0;
        next = from;
        fault = null;
        RecordRun? run = null;
        bool isOpen = true;
        while (_position < _bytes.Length)
        {
            fault = CheckHeader(from);
            if (fault is not null)
            {
                break;
            }

            bool isPassed = _header.NextOffset <= from || _header.RecordCount == 0 || (_aborted?.Passes(_header) ?? _header.IsControl);
            if (!isPassed && (!isOpen || (run is not null && (_header.Codec != CompressionCodec.None || _position - runStart >= RunByteCount))))
            {
                break;
            }

            if (isPassed)
            {
                run?.Pass(_header);
            }
            else
            {
                fault = Open(ref run, ref runStart, from, maxDecompressedByteCount, pool);
                if (fault is not null)
                {
                    break;
                }
            }

            // Behind a batch that is passed over no other can follow in one run; neither can one behind what was decompressed.
            isOpen = run is null || (!isPassed && _header.Codec == CompressionCodec.None);
            next = Offset.Max(next, _header.NextOffset);
            Pass();
        }

        byteCount = _position - start;
        if (run is not null)
        {
            fault = null;
            run.NextOffset = next;
            run.FetchedByteCount = byteCount;
        }

        return run;
    }

    private KafkaCorruptBatchException? CheckHeader(Offset from)
    {
        if (_isHeaderChecked)
        {
            return null;
        }

        BatchVerdict verdict = RecordBatch.Check(_bytes.Span[_position..], out _header);
        _isHeaderChecked = verdict == BatchVerdict.Valid;
        return _isHeaderChecked
            ? null
            : new KafkaCorruptBatchException(
                $"The batch of {_partition} at offset {from} is damaged ({verdict}), as it came from the broker. Check the broker's disk; seek behind the batch to go on.",
                _partition,
                from);
    }

    /// <summary>Opens the batch at the position, or adds it to the run.</summary>
    private KafkaCorruptBatchException? Open(ref RecordRun? run, ref int runStart, Offset from, int maxDecompressedByteCount, RecordRunPool pool)
    {
        int end = _position + _header.TotalByteCount;
        ReadOnlyMemory<byte> payload = _bytes[(_position + RecordBatchHeader.ByteCount)..end];
        byte[]? decompressed = null;
        try
        {
            if (_header.Codec == CompressionCodec.None)
            {
                RecordBatchReader.ValidateRecords(payload.Span, _header);
            }
            else
            {
                decompressed = Compression.DecompressToPool(_header.Codec, payload.Span, maxDecompressedByteCount, out int byteCount);
                payload = decompressed.AsMemory(0, byteCount);
                RecordBatchReader.ValidateRecords(payload.Span, _header);
            }
        }
        catch (Exception failure) when (failure is InvalidRecordBatchException or CodecUnavailableException)
        {
            if (decompressed is not null)
            {
                System.Buffers.ArrayPool<byte>.Shared.Return(decompressed);
            }

            return new KafkaCorruptBatchException(
                $"The batch of {_partition} at offset {_header.BaseOffset} cannot be decoded: {failure.Message} {WayOn(failure, _header.NextOffset)}",
                _partition,
                _header.BaseOffset,
                failure);
        }

        if (run is not null)
        {
            run.Extend(_bytes[runStart..end], _header);
            return null;
        }

        run = pool.Rent();
        runStart = _position;
        if (decompressed is not null)
        {
            run.OpenDecompressed(_partition, decompressed, payload.Length, _header);
        }
        else
        {
            run.OpenInFrame(_partition, _frame, _bytes[_position..end], _header);
        }

        if (_header.BaseOffset < from)
        {
            run.SkipTo(from);
        }

        if (run.RecordCount == 0)
        {
            // Its last offsets hold no record any more.
            run.Release(run.Token);
            run = null;
        }

        return null;
    }

    /// <summary>What can be done about a batch that cannot be decoded. One that is good is not to be passed over for want of a setting, or of a library.</summary>
    internal static string WayOn(Exception failure, Offset next) => failure switch
    {
        InvalidRecordBatchException { IsTooLarge: true } => $"Raise {nameof(ConsumerOptions.MaxDecompressedBatchByteCount)}, or seek to {next} to go on behind it without its records.",
        CodecUnavailableException => $"Then start again; a seek to {next} goes on behind it, without its records.",
        _ => $"Seek to {next} to go on behind it.",
    };

    private void Pass()
    {
        _aborted?.Pass(_header, _bytes.Span[_position..]);
        _position += _header.TotalByteCount;
        _isHeaderChecked = false;
        if (_header.LeaderEpoch != PassedEpoch)
        {
            PassedEpoch = _header.LeaderEpoch;
            PassedEpochStart = _header.BaseOffset;
        }
    }

    /// <summary>How many bytes whole batches have, by their headers alone. What is left of one at the end comes again with the next fetch.</summary>
    private int Measure(ReadOnlySpan<byte> bytes)
    {
        int position = 0;
        while (bytes.Length - position >= RecordBatchHeader.ByteCount)
        {
            var header = RecordBatchHeader.Read(bytes[position..]);
            bool isBatch = header.Magic == RecordBatchHeader.CurrentMagic && header.BatchLength >= RecordBatchHeader.MinimumBatchLength && header.LastOffsetDelta >= 0;
            if (!isBatch || header.BatchLength > bytes.Length - position - RecordBatchHeader.LengthPrefixByteCount)
            {
                break;
            }

            position += header.TotalByteCount;
            NextOffset = Offset.Max(NextOffset, header.NextOffset);
            LeaderEpoch = header.LeaderEpoch;
        }

        IsDamaged = position == 0 && bytes.Length > 0;
        return IsDamaged ? bytes.Length : position;
    }
}
