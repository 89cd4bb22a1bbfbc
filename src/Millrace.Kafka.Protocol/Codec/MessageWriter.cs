using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace Millrace.Kafka.Protocol;

/// <summary>Writes a message into bytes that <see cref="MessageSizer"/> has counted. Allocates nothing.</summary>
public ref struct MessageWriter : IMessageCodec
{
    private readonly Span<byte> _target;
    private readonly bool _isFlexible;
    private readonly List<DetachedPart>? _detached;
    private int _position;
    private bool _isCountingTags;
    private uint _tagCount;

    /// <param name="detached">Gets the places of records that are not written, by their position in <paramref name="target"/>.</param>
    public MessageWriter(Span<byte> target, bool isFlexible, List<DetachedPart>? detached = null)
    {
        _target = target;
        _isFlexible = isFlexible;
        _detached = detached;
    }

    public readonly bool IsFlexible => _isFlexible;

    /// <summary>Bytes that are written.</summary>
    public readonly int Position => _position;

    public void Boolean(ref bool value, string name = "") => _target[_position++] = value ? (byte)1 : (byte)0;

    public void Int8(ref sbyte value, string name = "") => _target[_position++] = (byte)value;

    public void Int16(ref short value, string name = "") => WriteInt16(value);

    public void Int32(ref int value, string name = "") => WriteInt32(value);

    public void Int64(ref long value, string name = "") => WriteInt64(value);

    public void Float64(ref double value, string name = "") => WriteInt64(BitConverter.DoubleToInt64Bits(value));

    public void Uuid(ref Guid value, string name = "")
    {
        const int byteCount = 16;
        value.TryWriteBytes(_target.Slice(_position, byteCount), bigEndian: true, out _);
        _position += byteCount;
    }

    public void Error(ref ErrorCode value, string name = "") => WriteInt16((short)value);

    public void Key(ref ApiKey value, string name = "") => WriteInt16((short)value);

    public void String(ref string value, string name = "") => WriteString(value ?? "");

    public void NullableString(ref string? value, string name = "") => WriteString(value);

    public void Bytes(ref byte[] value, string name = "") => WriteBytes(value, value?.Length ?? 0);

    public void NullableBytes(ref byte[]? value, string name = "") => WriteBytes(value, value?.Length);

    public void Records(ref ReadOnlyMemory<byte>? value, string name = "") => WriteBytes(value.GetValueOrDefault().Span, value?.Length);

    public void Detached(DetachedRecords records)
    {
        if (_detached is null) throw new InvalidOperationException("Records that are not in memory go only into a response that is sent in parts.");
        WriteCount(records.ByteCount);
        _detached.Add(new DetachedPart(_position, records));
    }

    public void Int32Array(ref List<int> items, string name = "")
    {
        WriteCount(items?.Count ?? 0);
        foreach (int item in CollectionsMarshal.AsSpan(items)) WriteInt32(item);
    }

    public void NullableInt32Array(ref List<int>? items, string name = "")
    {
        if (items is null) WriteCount(null);
        else Int32Array(ref items, name);
    }

    public void Int64Array(ref List<long> items, string name = "")
    {
        WriteCount(items?.Count ?? 0);
        foreach (long item in CollectionsMarshal.AsSpan(items)) WriteInt64(item);
    }

    public void StringArray(ref List<string> items, string name = "")
    {
        WriteCount(items?.Count ?? 0);
        foreach (string? item in CollectionsMarshal.AsSpan(items)) WriteString(item ?? "");
    }

    public void NullableStringArray(ref List<string>? items, string name = "")
    {
        if (items is null) WriteCount(null);
        else StringArray(ref items, name);
    }

    public void Array<T>(ref List<T> items, short version, string name = "")
        where T : class, IMessage, new()
    {
        WriteCount(items?.Count ?? 0);
        WriteItems(items, version);
    }

    public void NullableArray<T>(ref List<T>? items, short version, string name = "")
        where T : class, IMessage, new()
    {
        WriteCount(items?.Count);
        WriteItems(items, version);
    }

    public void Tags()
    {
        if (_isFlexible) _target[_position++] = 0;
    }

    /// <summary>The count precedes the fields, so the definition is asked twice: what is set, then its content.</summary>
    public void Tags<T>(T message, short version)
        where T : class, ITaggedMessage
    {
        if (!_isFlexible) return;
        _isCountingTags = true;
        _tagCount = 0;
        message.DescribeTags(ref this, version);
        _isCountingTags = false;
        WriteVarint(_tagCount);
        if (_tagCount > 0) message.DescribeTags(ref this, version);
    }

    public bool BeginTag(int tag, bool isSet, out int mark)
    {
        mark = 0;
        if (!isSet) return false;
        if (_isCountingTags)
        {
            _tagCount++;
            return false;
        }

        WriteVarint((uint)tag);
        mark = _position++;
        return true;
    }

    /// <summary>One byte was kept for the size. A longer size moves the field to the right; such fields are rare.</summary>
    public void EndTag(int mark)
    {
        int size = _position - mark - 1;
        int sizeByteCount = UnsignedVarint.ByteCount((uint)size);
        if (sizeByteCount > 1) _target.Slice(mark + 1, size).CopyTo(_target[(mark + sizeByteCount)..]);
        UnsignedVarint.Write(_target[mark..], (uint)size);
        _position = mark + sizeByteCount + size;
    }

    private void WriteInt16(short value)
    {
        BinaryPrimitives.WriteInt16BigEndian(_target[_position..], value);
        _position += sizeof(short);
    }

    private void WriteInt32(int value)
    {
        BinaryPrimitives.WriteInt32BigEndian(_target[_position..], value);
        _position += sizeof(int);
    }

    private void WriteInt64(long value)
    {
        BinaryPrimitives.WriteInt64BigEndian(_target[_position..], value);
        _position += sizeof(long);
    }

    private void WriteVarint(uint value) => _position += UnsignedVarint.Write(_target[_position..], value);

    private void WriteString(string? value)
    {
        if (_isFlexible)
        {
            WriteVarint(value is null ? 0 : (uint)Encoding.UTF8.GetByteCount(value) + 1);
            if (value is not null) _position += Encoding.UTF8.GetBytes(value, _target[_position..]);
            return;
        }

        if (value is null)
        {
            WriteInt16(-1);
            return;
        }

        int byteCount = Encoding.UTF8.GetBytes(value, _target[(_position + sizeof(short))..]);
        WriteInt16(checked((short)byteCount));
        _position += byteCount;
    }

    private void WriteBytes(ReadOnlySpan<byte> bytes, int? byteCount)
    {
        WriteCount(byteCount);
        bytes.CopyTo(_target[_position..]);
        _position += bytes.Length;
    }

    private void WriteCount(int? count)
    {
        if (_isFlexible) WriteVarint(count is { } known ? (uint)known + 1 : 0);
        else WriteInt32(count ?? -1);
    }

    private void WriteItems<T>(List<T>? items, short version)
        where T : class, IMessage, new()
    {
        foreach (T item in CollectionsMarshal.AsSpan(items)) item.Describe(ref this, version);
    }
}
