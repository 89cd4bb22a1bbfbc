using System.Text;

namespace Millrace.Kafka.Protocol;

/// <summary>Counts the bytes of a message, so that a frame is rented once, at its exact size.</summary>
public ref struct MessageSizer : IMessageCodec
{
    private readonly bool _isFlexible;
    private long _byteCount;
    private long _detachedByteCount;
    private uint _tagCount;

    public MessageSizer(bool isFlexible) => _isFlexible = isFlexible;

    public readonly bool IsFlexible => _isFlexible;

    /// <summary>The bytes of everything that was described so far.</summary>
    /// <exception cref="OverflowException">More bytes than a frame can count.</exception>
    public readonly int ByteCount => checked((int)_byteCount);

    /// <summary>Those of <see cref="ByteCount"/> that are not written into the frame.</summary>
    public readonly int DetachedByteCount => checked((int)_detachedByteCount);

    public void Boolean(ref bool value, string name = "") => _byteCount += sizeof(byte);

    public void Int8(ref sbyte value, string name = "") => _byteCount += sizeof(sbyte);

    public void Int16(ref short value, string name = "") => _byteCount += sizeof(short);

    public void Int32(ref int value, string name = "") => _byteCount += sizeof(int);

    public void Int64(ref long value, string name = "") => _byteCount += sizeof(long);

    public void Float64(ref double value, string name = "") => _byteCount += sizeof(double);

    public void Uuid(ref Guid value, string name = "") => _byteCount += 16;

    public void Error(ref ErrorCode value, string name = "") => _byteCount += sizeof(short);

    public void Key(ref ApiKey value, string name = "") => _byteCount += sizeof(short);

    public void String(ref string value, string name = "") => AddString(value ?? "", name);

    public void NullableString(ref string? value, string name = "") => AddString(value, name);

    public void Bytes(ref byte[] value, string name = "") => AddBytes(value?.Length ?? 0);

    public void NullableBytes(ref byte[]? value, string name = "") => AddBytes(value?.Length);

    public void Records(ref ReadOnlyMemory<byte>? value, string name = "") => AddBytes(value?.Length);

    public void Detached(DetachedRecords records)
    {
        AddBytes(records.ByteCount);
        _detachedByteCount += records.ByteCount;
    }

    public void Int32Array(ref List<int> items, string name = "") => AddFixedItems(items?.Count ?? 0, sizeof(int));

    public void NullableInt32Array(ref List<int>? items, string name = "")
    {
        if (items is null) AddCount(null);
        else Int32Array(ref items, name);
    }

    public void Int64Array(ref List<long> items, string name = "") => AddFixedItems(items?.Count ?? 0, sizeof(long));

    public void StringArray(ref List<string> items, string name = "")
    {
        AddCount(items?.Count ?? 0);
        if (items is null) return;
        foreach (string item in items) AddString(item ?? "", name);
    }

    public void NullableStringArray(ref List<string>? items, string name = "")
    {
        if (items is null) AddCount(null);
        else StringArray(ref items, name);
    }

    public void Array<T>(ref List<T> items, short version, string name = "")
        where T : class, IMessage, new()
    {
        AddCount(items?.Count ?? 0);
        AddItems(items, version);
    }

    public void NullableArray<T>(ref List<T>? items, short version, string name = "")
        where T : class, IMessage, new()
    {
        AddCount(items?.Count);
        AddItems(items, version);
    }

    public void Tags()
    {
        if (_isFlexible) _byteCount++;
    }

    public void Tags<T>(T message, short version)
        where T : class, ITaggedMessage
    {
        if (!_isFlexible) return;
        uint outerTagCount = _tagCount;
        _tagCount = 0;
        message.DescribeTags(ref this, version);
        _byteCount += UnsignedVarint.ByteCount(_tagCount);
        _tagCount = outerTagCount;
    }

    public bool BeginTag(int tag, bool isSet, out int mark)
    {
        mark = 0;
        if (!isSet) return false;
        _tagCount++;
        _byteCount += UnsignedVarint.ByteCount((uint)tag);
        mark = ByteCount;
        return true;
    }

    public void EndTag(int mark) => _byteCount += UnsignedVarint.ByteCount((uint)(ByteCount - mark));

    private void AddString(string? value, string name)
    {
        int byteCount = value is null ? 0 : Encoding.UTF8.GetByteCount(value);
        if (_isFlexible)
        {
            _byteCount += UnsignedVarint.ByteCount(value is null ? 0 : (uint)byteCount + 1) + byteCount;
            return;
        }

        if (byteCount > short.MaxValue)
        {
            throw new ArgumentException($"{name} has {byteCount} bytes in UTF-8; this version of the message carries at most {short.MaxValue}.", name);
        }

        _byteCount += sizeof(short) + byteCount;
    }

    private void AddBytes(int? byteCount)
    {
        AddCount(byteCount);
        _byteCount += byteCount ?? 0;
    }

    private void AddFixedItems(int count, int itemByteCount)
    {
        AddCount(count);
        _byteCount += (long)count * itemByteCount;
    }

    private void AddCount(int? count) =>
        _byteCount += _isFlexible ? UnsignedVarint.ByteCount(count is { } known ? (uint)known + 1 : 0) : sizeof(int);

    private void AddItems<T>(List<T>? items, short version)
        where T : class, IMessage, new()
    {
        if (items is null) return;
        foreach (T item in items) item.Describe(ref this, version);
    }
}
