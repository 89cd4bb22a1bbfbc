using System.Runtime.CompilerServices;

namespace Millrace.Kafka.Protocol.Tests;

/// <summary>A codec that notes the fields that a version describes, with their values: what two messages must agree on to be the same in that version.</summary>
public struct FieldRecorder : IMessageCodec
{
    private string _path;

    public FieldRecorder(bool isFlexible)
    {
        IsFlexible = isFlexible;
        _path = "";
        Fields = [];
    }

    public bool IsFlexible { get; }

    public List<(string Path, string Value)> Fields { get; }

    public static List<(string Path, string Value)> Record(IMessage message, short version, bool isFlexible)
    {
        var recorder = new FieldRecorder(isFlexible);
        message.Describe(ref recorder, version);
        return recorder.Fields;
    }

    public readonly void Boolean(ref bool value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Int8(ref sbyte value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Int16(ref short value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Int32(ref int value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Int64(ref long value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    // The bits: two that are not a number are the same value here.
    public readonly void Float64(ref double value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, BitConverter.DoubleToInt64Bits(value));

    public readonly void Uuid(ref Guid value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Error(ref ErrorCode value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Key(ref ApiKey value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void String(ref string value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value ?? "");

    public readonly void NullableString(ref string? value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public readonly void Bytes(ref byte[] value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, Convert.ToHexString(value));

    public readonly void NullableBytes(ref byte[]? value, [CallerArgumentExpression(nameof(value))] string name = "") =>
        Add(name, value is null ? null : Convert.ToHexString(value));

    public readonly void Records(ref ReadOnlyMemory<byte>? value, [CallerArgumentExpression(nameof(value))] string name = "") =>
        Add(name, value is { } known ? Convert.ToHexString(known.Span) : null);

    public readonly void Detached(DetachedRecords records) => throw new InvalidOperationException("A message that is read holds no detached records.");

    public readonly void Int32Array(ref List<int> items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, string.Join(',', items));

    public readonly void NullableInt32Array(ref List<int>? items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, items is null ? null : string.Join(',', items));

    public readonly void Int64Array(ref List<long> items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, string.Join(',', items));

    public readonly void StringArray(ref List<string> items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, string.Join(',', items));

    public readonly void NullableStringArray(ref List<string>? items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, items is null ? null : string.Join(',', items));

    public void Array<T>(ref List<T> items, short version, [CallerArgumentExpression(nameof(items))] string name = "")
        where T : class, IMessage, new()
    {
        items ??= [];
        AddItems(items, version, name);
    }

    public void NullableArray<T>(ref List<T>? items, short version, [CallerArgumentExpression(nameof(items))] string name = "")
        where T : class, IMessage, new()
    {
        if (items is null) Add(name, "null");
        else AddItems(items, version, name);
    }

    public readonly void Tags()
    {
        // Nothing is known, so nothing is noted.
    }

    public void Tags<T>(T message, short version)
        where T : class, ITaggedMessage
    {
        if (IsFlexible) message.DescribeTags(ref this, version);
    }

    public readonly bool BeginTag(int tag, bool isSet, out int mark)
    {
        mark = 0;
        if (isSet) Add($"tag {tag}", "set");
        return isSet;
    }

    public readonly void EndTag(int mark)
    {
        // A tag needs no end here.
    }

    private void AddItems<T>(List<T> items, short version, string name)
        where T : class, IMessage, new()
    {
        Add(name, items.Count);
        string outer = _path;
        for (int index = 0; index < items.Count; index++)
        {
            _path = $"{outer}{name}[{index}].";
            items[index].Describe(ref this, version);
        }

        _path = outer;
    }

    private readonly void Add<T>(string name, T value) => Fields.Add((_path + name, value?.ToString() ?? "null"));
}
