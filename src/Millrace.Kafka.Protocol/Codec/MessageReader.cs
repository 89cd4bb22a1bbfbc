using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace Millrace.Kafka.Protocol;

/// <summary>
/// Reads a message from bytes that nobody vouches for. The first failure sticks: every read after it does nothing, and the caller looks at
/// <see cref="HasFailed"/> once, at the end.
/// </summary>
/// <remarks>
/// Every length and count is compared with the bytes that remain before memory is taken for it, and a list grows with the elements that were
/// really there. Nesting is as deep as the definitions, none of which contains itself. Bytes of a tagged field whose tag is unknown are skipped.
/// </remarks>
public ref struct MessageReader : IMessageCodec
{
    /// <summary>Elements that a list gets room for on the word of its count; more come with the elements themselves.</summary>
    private const int MaximumInitialCapacity = 64;

    private const int NoTag = -1;

    private readonly ReadOnlyMemory<byte> _memory;
    private readonly ReadOnlySpan<byte> _bytes;
    private readonly bool _isFlexible;
    private int _remainingItemCount;
    private int _position;
    private int _end;
    private int _currentTag = NoTag;
    private string? _failure;
    private string _failurePath = "";
    private int _failurePosition;

    /// <param name="maximumItemCount">
    /// The elements that all arrays of the message have together. An element of three bytes becomes an object of a hundred, so that a bound on
    /// bytes alone bounds memory badly.
    /// </param>
    public MessageReader(ReadOnlyMemory<byte> bytes, bool isFlexible, int maximumItemCount = int.MaxValue)
    {
        _memory = bytes;
        _remainingItemCount = maximumItemCount;
        _bytes = bytes.Span;
        _end = bytes.Length;
        _isFlexible = isFlexible;
    }

    public readonly bool IsFlexible => _isFlexible;

    /// <summary>Bytes that are read.</summary>
    public readonly int Position => _position;

    public readonly int Remaining => _end - _position;

    public readonly bool HasFailed => _failure is not null;

    /// <summary>What is wrong with which field at which byte, or null.</summary>
    public readonly string? Failure => _failure is null ? null : $"{_failurePath} at byte {_failurePosition}: {_failure}.";

    public void Boolean(ref bool value, string name = "")
    {
        if (Has(sizeof(byte), name)) value = _bytes[_position++] != 0;
    }

    public void Int8(ref sbyte value, string name = "")
    {
        if (Has(sizeof(sbyte), name)) value = (sbyte)_bytes[_position++];
    }

    public void Int16(ref short value, string name = "")
    {
        if (Has(sizeof(short), name)) value = TakeInt16();
    }

    public void Int32(ref int value, string name = "")
    {
        if (Has(sizeof(int), name)) value = TakeInt32();
    }

    public void Int64(ref long value, string name = "")
    {
        if (Has(sizeof(long), name)) value = TakeInt64();
    }

    public void Float64(ref double value, string name = "")
    {
        if (Has(sizeof(double), name)) value = BitConverter.Int64BitsToDouble(TakeInt64());
    }

    public void Uuid(ref Guid value, string name = "")
    {
        const int byteCount = 16;
        if (!Has(byteCount, name)) return;
        value = new Guid(_bytes.Slice(_position, byteCount), bigEndian: true);
        _position += byteCount;
    }

    public void Error(ref ErrorCode value, string name = "")
    {
        if (Has(sizeof(short), name)) value = (ErrorCode)TakeInt16();
    }

    public void Key(ref ApiKey value, string name = "")
    {
        if (Has(sizeof(short), name)) value = (ApiKey)TakeInt16();
    }

    public void String(ref string value, string name = "")
    {
        if (TryTakeStringLength(name, isNullable: false, out int byteCount)) value = TakeString(byteCount);
    }

    public void NullableString(ref string? value, string name = "")
    {
        if (TryTakeStringLength(name, isNullable: true, out int byteCount)) value = byteCount < 0 ? null : TakeString(byteCount);
    }

    public void Bytes(ref byte[] value, string name = "")
    {
        if (TryTakeCount(name, isNullable: false, itemByteCount: 1, out int byteCount)) value = TakeMemory(byteCount).ToArray();
    }

    public void NullableBytes(ref byte[]? value, string name = "")
    {
        if (TryTakeCount(name, isNullable: true, itemByteCount: 1, out int byteCount)) value = byteCount < 0 ? null : TakeMemory(byteCount).ToArray();
    }

    public void Records(ref ReadOnlyMemory<byte>? value, string name = "")
    {
        if (!TryTakeCount(name, isNullable: true, itemByteCount: 1, out int byteCount)) return;

        // The cast matters: a bare null would become an empty memory, by way of byte[].
        value = byteCount < 0 ? (ReadOnlyMemory<byte>?)null : TakeMemory(byteCount);
    }

    public void Detached(DetachedRecords records) => throw new InvalidOperationException("What is read is in memory.");

    public void Int32Array(ref List<int> items, string name = "")
    {
        if (TryTakeItemCount(name, isNullable: false, sizeof(int), out int count)) ReadInt32Items(items, count);
    }

    public void NullableInt32Array(ref List<int>? items, string name = "")
    {
        if (!TryTakeItemCount(name, isNullable: true, sizeof(int), out int count)) return;
        if (count < 0) items = null;
        else ReadInt32Items(items ??= [], count);
    }

    public void Int64Array(ref List<long> items, string name = "")
    {
        if (!TryTakeItemCount(name, isNullable: false, sizeof(long), out int count)) return;
        CollectionsMarshal.SetCount(items, count);
        foreach (ref long item in CollectionsMarshal.AsSpan(items)) item = TakeInt64();
    }

    public void StringArray(ref List<string> items, string name = "")
    {
        if (TryTakeItemCount(name, isNullable: false, _isFlexible ? 1 : sizeof(short), out int count)) ReadStringItems(items, count, name);
    }

    public void NullableStringArray(ref List<string>? items, string name = "")
    {
        if (!TryTakeItemCount(name, isNullable: true, _isFlexible ? 1 : sizeof(short), out int count)) return;
        if (count < 0) items = null;
        else ReadStringItems(items ??= [], count, name);
    }

    public void Array<T>(ref List<T> items, short version, string name = "")
        where T : class, IMessage, new()
    {
        if (TryTakeItemCount(name, isNullable: false, itemByteCount: 1, out int count)) ReadItems(items ??= [], count, version, name);
    }

    public void NullableArray<T>(ref List<T>? items, short version, string name = "")
        where T : class, IMessage, new()
    {
        if (!TryTakeItemCount(name, isNullable: true, itemByteCount: 1, out int count)) return;
        if (count < 0)
        {
            items = null;
            return;
        }

        items ??= [];
        ReadItems(items, count, version, name);
    }

    public void Tags()
    {
        if (!_isFlexible || !TryTakeTagCount(out uint count)) return;
        for (int index = 0; index < count; index++)
        {
            if (!TryTakeTag(out _, out int size)) return;
            _position += size;
        }
    }

    public void Tags<T>(T message, short version)
        where T : class, ITaggedMessage
    {
        if (!_isFlexible || !TryTakeTagCount(out uint count)) return;
        int outerTag = _currentTag;
        for (int index = 0; index < count; index++)
        {
            if (!TryTakeTag(out int tag, out int size)) return;

            // The field sees its own bytes only. EndTag has seen to it that a known one fills them; an unknown one is skipped.
            int outerEnd = _end;
            _end = _position + size;
            _currentTag = tag;
            message.DescribeTags(ref this, version);
            if (HasFailed) return;
            _position = _end;
            _end = outerEnd;
        }

        _currentTag = outerTag;
    }

    public bool BeginTag(int tag, bool isSet, out int mark)
    {
        mark = 0;
        return tag == _currentTag && !HasFailed;
    }

    public void EndTag(int mark)
    {
        if (!HasFailed && _position != _end) Fail($"tag {_currentTag}", $"its size leaves {Remaining} bytes that its field does not have");
        _currentTag = NoTag;
    }

    /// <summary>Fails when bytes remain: then one of the two sides is wrong about the layout.</summary>
    public void ExpectEnd()
    {
        if (!HasFailed && Remaining > 0) Fail("end", $"{Remaining} bytes follow the last field");
    }

    private bool Has(int byteCount, string name)
    {
        if (HasFailed) return false;
        if (Remaining >= byteCount) return true;
        Fail(name, $"needs {byteCount} bytes, {Remaining} remain");
        return false;
    }

    private short TakeInt16()
    {
        short value = BinaryPrimitives.ReadInt16BigEndian(_bytes[_position..]);
        _position += sizeof(short);
        return value;
    }

    private int TakeInt32()
    {
        int value = BinaryPrimitives.ReadInt32BigEndian(_bytes[_position..]);
        _position += sizeof(int);
        return value;
    }

    private long TakeInt64()
    {
        long value = BinaryPrimitives.ReadInt64BigEndian(_bytes[_position..]);
        _position += sizeof(long);
        return value;
    }

    private string TakeString(int byteCount)
    {
        string value = Encoding.UTF8.GetString(_bytes.Slice(_position, byteCount));
        _position += byteCount;
        return value;
    }

    private ReadOnlyMemory<byte> TakeMemory(int byteCount)
    {
        ReadOnlyMemory<byte> value = _memory.Slice(_position, byteCount);
        _position += byteCount;
        return value;
    }

    private bool TryTakeVarint(string name, out uint value)
    {
        value = 0;
        if (HasFailed) return false;
        int byteCount = UnsignedVarint.Read(_bytes[_position.._end], out value);
        if (byteCount <= 0)
        {
            Fail(name, byteCount == 0 ? "the bytes end inside of a variable-length number" : "a variable-length number has more than 32 bits");
            return false;
        }

        _position += byteCount;
        return true;
    }

    private bool TryTakeStringLength(string name, bool isNullable, out int byteCount)
    {
        if (_isFlexible) return TryTakeCount(name, isNullable, itemByteCount: 1, out byteCount);
        byteCount = -1;
        if (!Has(sizeof(short), name)) return false;
        return IsPossible(byteCount = TakeInt16(), name, isNullable, itemByteCount: 1);
    }

    /// <summary>Takes the length of bytes or the count of an array; -1 is null. True when that many items may really follow.</summary>
    private bool TryTakeCount(string name, bool isNullable, int itemByteCount, out int count)
    {
        count = -1;
        if (_isFlexible)
        {
            if (!TryTakeVarint(name, out uint countPlusOne)) return false;
            return IsPossible((long)countPlusOne - 1, name, isNullable, itemByteCount) && (count = (int)(countPlusOne - 1)) >= -1;
        }

        return Has(sizeof(int), name) && IsPossible(count = TakeInt32(), name, isNullable, itemByteCount);
    }

    /// <summary>As <see cref="TryTakeCount"/>, of an array: its elements count against what the whole message may have.</summary>
    private bool TryTakeItemCount(string name, bool isNullable, int itemByteCount, out int count)
    {
        if (!TryTakeCount(name, isNullable, itemByteCount, out count)) return false;
        if (count > _remainingItemCount)
        {
            Fail(name, $"has {count} items, of those that a message may have {_remainingItemCount} are left");
            return false;
        }

        _remainingItemCount -= Math.Max(count, 0);
        return true;
    }

    private bool IsPossible(long count, string name, bool isNullable, int itemByteCount)
    {
        if (count == -1)
        {
            if (!isNullable) Fail(name, "is null, which this version does not allow");
            return isNullable;
        }

        if (count >= 0 && count * itemByteCount <= Remaining) return true;
        Fail(name, count < 0 ? $"has the length {count}" : $"claims {count} items of at least {itemByteCount} bytes, {Remaining} bytes remain");
        return false;
    }

    private bool TryTakeTagCount(out uint count)
    {
        if (!TryTakeVarint("tagged fields", out count)) return false;
        if (count <= (uint)Remaining / 2) return true;
        Fail("tagged fields", $"claims {count} fields, {Remaining} bytes remain");
        return false;
    }

    private bool TryTakeTag(out int tag, out int size)
    {
        (tag, size) = (0, 0);
        if (!TryTakeVarint("tag", out uint rawTag) || !TryTakeVarint("size of a tagged field", out uint rawSize)) return false;
        if (rawSize > (uint)Remaining || rawTag > int.MaxValue)
        {
            Fail($"tag {rawTag}", $"claims {rawSize} bytes, {Remaining} remain");
            return false;
        }

        (tag, size) = ((int)rawTag, (int)rawSize);
        return true;
    }

    private void ReadInt32Items(List<int> items, int count)
    {
        CollectionsMarshal.SetCount(items, count);
        foreach (ref int item in CollectionsMarshal.AsSpan(items)) item = TakeInt32();
    }

    private void ReadStringItems(List<string> items, int count, string name)
    {
        Prepare(items, count);
        for (int index = 0; index < count; index++)
        {
            if (!TryTakeStringLength(name, isNullable: false, out int byteCount))
            {
                _failurePath = $"{name}[{index}]";
                return;
            }

            items.Add(TakeString(byteCount));
        }
    }

    private void ReadItems<T>(List<T> items, int count, short version, string name)
        where T : class, IMessage, new()
    {
        Prepare(items, count);
        for (int index = 0; index < count; index++)
        {
            var item = new T();
            item.Describe(ref this, version);
            if (HasFailed)
            {
                _failurePath = $"{name}[{index}].{_failurePath}";
                return;
            }

            items.Add(item);
        }
    }

    private static void Prepare<T>(List<T> items, int count)
    {
        items.Clear();
        items.EnsureCapacity(Math.Min(count, MaximumInitialCapacity));
    }

    private void Fail(string name, string failure)
    {
        _failure = failure;
        _failurePath = name;
        _failurePosition = _position;
    }
}
