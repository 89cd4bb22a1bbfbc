using System.Runtime.CompilerServices;

namespace Millrace.Kafka.Protocol;

/// <summary>
/// What a message definition speaks to. There are three: <see cref="MessageSizer"/> counts the bytes, <see cref="MessageWriter"/> writes the
/// fields' values, <see cref="MessageReader"/> sets the fields. All numbers are big-endian.
/// </summary>
/// <remarks>
/// <code>
///                  versions before flexible ones           flexible versions (KIP-482)
/// string           int16 length (-1: null), UTF-8          uvarint length + 1 (0: null), UTF-8
/// bytes, records   int32 length (-1: null), bytes          uvarint length + 1 (0: null), bytes
/// array            int32 count (-1: null), elements        uvarint count + 1 (0: null), elements
/// tagged fields    -                                       uvarint count, then each: uvarint tag, uvarint size, field
/// </code>
/// A field's name, which the compiler fills in, appears in what a reader says about malformed bytes.
/// </remarks>
public interface IMessageCodec
{
    bool IsFlexible { get; }

    void Boolean(ref bool value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Int8(ref sbyte value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Int16(ref short value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Int32(ref int value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Int64(ref long value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Float64(ref double value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Uuid(ref Guid value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Error(ref ErrorCode value, [CallerArgumentExpression(nameof(value))] string name = "");

    void Key(ref ApiKey value, [CallerArgumentExpression(nameof(value))] string name = "");

    /// <summary>
    /// A string that cannot be null in this version: null is written as the empty string, and reading null is an error.
    /// Bytes that are not UTF-8 are read as U+FFFD, as Kafka does.
    /// </summary>
    void String(ref string value, [CallerArgumentExpression(nameof(value))] string name = "");

    void NullableString(ref string? value, [CallerArgumentExpression(nameof(value))] string name = "");

    /// <summary>Bytes of their own: what is read is a copy, and outlives the frame.</summary>
    void Bytes(ref byte[] value, [CallerArgumentExpression(nameof(value))] string name = "");

    void NullableBytes(ref byte[]? value, [CallerArgumentExpression(nameof(value))] string name = "");

    /// <summary>Record batches: what is read is a slice of the frame, valid for as long as the frame is retained.</summary>
    void Records(ref ReadOnlyMemory<byte>? value, [CallerArgumentExpression(nameof(value))] string name = "");

    /// <summary>Record batches that are not in memory. Only for messages that are written.</summary>
    void Detached(DetachedRecords records);

    void Int32Array(ref List<int> items, [CallerArgumentExpression(nameof(items))] string name = "");

    void NullableInt32Array(ref List<int>? items, [CallerArgumentExpression(nameof(items))] string name = "");

    void Int64Array(ref List<long> items, [CallerArgumentExpression(nameof(items))] string name = "");

    void StringArray(ref List<string> items, [CallerArgumentExpression(nameof(items))] string name = "");

    void NullableStringArray(ref List<string>? items, [CallerArgumentExpression(nameof(items))] string name = "");

    /// <summary>An array that cannot be null in this version: null is written as the empty array, and reading null is an error.</summary>
    void Array<T>(ref List<T> items, short version, [CallerArgumentExpression(nameof(items))] string name = "")
        where T : class, IMessage, new();

    void NullableArray<T>(ref List<T>? items, short version, [CallerArgumentExpression(nameof(items))] string name = "")
        where T : class, IMessage, new();

    /// <summary>The end of a structure without known tagged fields. Nothing in versions that are not flexible.</summary>
    void Tags();

    /// <summary>The end of a structure with known tagged fields. Nothing in versions that are not flexible.</summary>
    void Tags<T>(T message, short version)
        where T : class, ITaggedMessage;

    /// <summary>
    /// Whether the field of this tag follows: when reading, if it is the tag at hand; when writing, if it <paramref name="isSet"/> to
    /// something other than its default. Then describe the field, and close it with <see cref="EndTag"/>.
    /// </summary>
    bool BeginTag(int tag, bool isSet, out int mark);

    void EndTag(int mark);
}
