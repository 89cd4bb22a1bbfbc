using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A record that is not in a batch yet: its topic is unknown, or the buffer is full. Guarded by the producer's lock, and used again and again.</summary>
internal sealed class WaitingRecord
{
    /// <summary>Larger copies are not kept for the next use.</summary>
    private const int MaxKeptByteCount = 4096;

    private ProducerRecord? _record;
    private byte[] _copy = [];
    private int _keyByteCount;
    private int _valueByteCount;
    private bool _hasKey;
    private bool _hasValue;
    private readonly List<RecordHeader> _headers = [];
    private DateTimeOffset? _timestamp;
    private int? _partition;

    public WaitingRecord() => Node = new LinkedListNode<WaitingRecord>(this);

    /// <summary>Its place in the line; in none once it is in a batch or given up.</summary>
    public LinkedListNode<WaitingRecord> Node { get; }

    public string Topic { get; private set; } = "";

    /// <summary>Null until the topic is known.</summary>
    public TopicState? State { get; set; }

    public Delivery Delivery { get; private set; }

    /// <summary>Who waits for the admission alone; null if the delivery tells of everything.</summary>
    public ProduceOperation? Admission { get; private set; }

    /// <summary>The operation that a token may cancel.</summary>
    public ProduceOperation? Operation => Admission ?? Delivery.Handler as ProduceOperation;

    /// <summary>What the record takes of the buffer.</summary>
    public int ByteCount { get; private set; }

    public TimeSpan Deadline { get; private set; }

    /// <summary>Completes when the record is acknowledged or has failed; made for who flushes.</summary>
    public TaskCompletionSource? Done { get; set; }

    public bool IsInLine => Node.List is not null;

    public SpanRecord Record => _record is not null
        ? SpanRecord.Of(_record)
        : SpanRecord.Of(
            Topic, _partition, _copy.AsSpan(0, _keyByteCount), _hasKey, _copy.AsSpan(_keyByteCount, _valueByteCount), _hasValue, _headers.Count > 0 ? _headers : null, _timestamp);

    /// <summary>Takes a record: by reference where the caller gave an object, by copy where it gave spans.</summary>
    public void Set(in SpanRecord record, ProducerRecord? source, in Delivery delivery, ProduceOperation? admission, int byteCount, TimeSpan deadline)
    {
        Topic = record.Topic;
        Delivery = delivery;
        Admission = admission;
        ByteCount = byteCount;
        Deadline = deadline;
        _record = source;
        if (Operation is { } operation)
        {
            operation.Waiting = this;
        }

        if (source is not null)
        {
            return;
        }

        _partition = record.Partition;
        _timestamp = record.Timestamp;
        _hasKey = record.HasKey;
        _hasValue = record.HasValue;
        _keyByteCount = record.Key.Length;
        _valueByteCount = record.Value.Length;
        int headerCount = record.Headers?.Count ?? 0;
        int copyByteCount = _keyByteCount + _valueByteCount;
        for (int i = 0; i < headerCount; i++)
        {
            copyByteCount += record.Headers![i].Value?.Length ?? 0;
        }

        if (_copy.Length < copyByteCount)
        {
            _copy = GC.AllocateUninitializedArray<byte>(copyByteCount);
        }

        record.Key.CopyTo(_copy);
        record.Value.CopyTo(_copy.AsSpan(_keyByteCount));
        int start = _keyByteCount + _valueByteCount;
        for (int i = 0; i < headerCount; i++)
        {
            RecordHeader header = record.Headers![i];
            if (header.Value is { } value)
            {
                Memory<byte> copy = _copy.AsMemory(start, value.Length);
                value.CopyTo(copy);
                header = new RecordHeader(header.Key, copy);
                start += value.Length;
            }

            _headers.Add(header);
        }
    }

    /// <summary>Nobody cancels it any more.</summary>
    public void LeaveOperation()
    {
        // By now it may be another record's.
        if (Operation is { } operation && operation.Waiting == this)
        {
            operation.Waiting = null;
        }
    }

    /// <summary>Forgets everything, for the next use.</summary>
    public void Clear()
    {
        Invariant.Holds(!IsInLine, "a record that waits is not used for another");
        if (_copy.Length > MaxKeptByteCount)
        {
            _copy = [];
        }

        _record = null;
        _headers.Clear();
        State = null;
        Delivery = default;
        Admission = null;
        Done = null;
    }
}
