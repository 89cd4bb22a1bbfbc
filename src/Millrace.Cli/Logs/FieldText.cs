using System.Runtime.CompilerServices;
using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Cli;

/// <summary>
/// A codec that writes the fields which a definition describes as text: <c>{Group: shipping, Topic: orders, Partition: 0}</c>. So what is shown of a
/// record is what its definition says, and nothing is listed twice.
/// </summary>
internal readonly struct FieldText : IMessageCodec
{
    private readonly StringBuilder _text;

    private FieldText(bool isFlexible)
    {
        IsFlexible = isFlexible;
        _text = new StringBuilder();
    }

    public bool IsFlexible { get; }

    public static string Of<TData>(TData data, short version)
        where TData : IVersionedData
    {
        FieldText codec = new(version >= TData.FirstFlexibleVersion);
        codec.Structure(data, version);
        return codec._text.ToString();
    }

    public void Boolean(ref bool value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value ? "true" : "false");

    public void Int8(ref sbyte value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Int16(ref short value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Int32(ref int value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Int64(ref long value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Float64(ref double value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Uuid(ref Guid value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Error(ref ErrorCode value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void Key(ref ApiKey value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value.ToString());

    public void String(ref string value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value);

    public void NullableString(ref string? value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, value ?? "null");

    public void Bytes(ref byte[] value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, ByteText.Of(value.AsMemory()));

    public void NullableBytes(ref byte[]? value, [CallerArgumentExpression(nameof(value))] string name = "") =>
        Add(name, value is null ? "null" : ByteText.Of(value.AsMemory()));

    public void Records(ref ReadOnlyMemory<byte>? value, [CallerArgumentExpression(nameof(value))] string name = "") => Add(name, ByteText.Of(value));

    public void Detached(DetachedRecords records) => throw new InvalidOperationException("What is read holds no detached records.");

    public void Int32Array(ref List<int> items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, $"[{string.Join(", ", items)}]");

    public void NullableInt32Array(ref List<int>? items, [CallerArgumentExpression(nameof(items))] string name = "") =>
        Add(name, items is null ? "null" : $"[{string.Join(", ", items)}]");

    public void Int64Array(ref List<long> items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, $"[{string.Join(", ", items)}]");

    public void StringArray(ref List<string> items, [CallerArgumentExpression(nameof(items))] string name = "") => Add(name, $"[{string.Join(", ", items)}]");

    public void NullableStringArray(ref List<string>? items, [CallerArgumentExpression(nameof(items))] string name = "") =>
        Add(name, items is null ? "null" : $"[{string.Join(", ", items)}]");

    public void Array<T>(ref List<T> items, short version, [CallerArgumentExpression(nameof(items))] string name = "")
        where T : class, IMessage, new() => AddItems(items, version, name);

    public void NullableArray<T>(ref List<T>? items, short version, [CallerArgumentExpression(nameof(items))] string name = "")
        where T : class, IMessage, new() => AddItems(items, version, name);

    public void Tags()
    {
        // Nothing is known of them, so there is nothing to show.
    }

    public void Tags<T>(T message, short version)
        where T : class, ITaggedMessage
    {
        if (IsFlexible)
        {
            FieldText codec = this;
            message.DescribeTags(ref codec, version);
        }
    }

    public bool BeginTag(int tag, bool isSet, out int mark)
    {
        mark = 0;
        return isSet;
    }

    public void EndTag(int mark)
    {
        // Text has no length to fill in.
    }

    private void AddItems<T>(List<T>? items, short version, string name)
        where T : class, IMessage, new()
    {
        if (items is null)
        {
            Add(name, "null");
            return;
        }

        Add(name, "[");
        foreach (T item in items)
        {
            Structure(item, version);
        }

        _text.Append(']');
    }

    private void Structure(IMessage message, short version)
    {
        FieldText codec = this;
        _text.Append('{');
        message.Describe(ref codec, version);
        _text.Append('}');
    }

    private void Add(string name, string value)
    {
        if (_text.Length > 0 && _text[^1] is not ('{' or '['))
        {
            _text.Append(", ");
        }

        _text.Append(name).Append(": ").Append(value);
    }
}
