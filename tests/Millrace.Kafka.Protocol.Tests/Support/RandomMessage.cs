using System.Collections;
using System.Reflection;

namespace Millrace.Kafka.Protocol.Tests;

/// <summary>Fills messages with random values by reflection.</summary>
public static class RandomMessage
{
    private static readonly NullabilityInfoContext Nullability = new();

    public static IMessage Fill(IMessage message, Random random)
    {
        foreach (FieldInfo field in message.GetType().GetFields(BindingFlags.Public | BindingFlags.Instance))
        {
            field.SetValue(message, Value(field.FieldType, IsNullable(field), random));
        }

        return message;
    }

    private static bool IsNullable(FieldInfo field)
    {
        if (Nullable.GetUnderlyingType(field.FieldType) is not null) return true;
        lock (Nullability) return Nullability.Create(field).ReadState == NullabilityState.Nullable;
    }

    private static object? Value(Type type, bool isNullable, Random random)
    {
        if (isNullable && random.Next(4) == 0) return null;
        if (type == typeof(bool)) return random.Next(2) == 0;
        if (type == typeof(sbyte)) return (sbyte)random.Next(sbyte.MinValue, sbyte.MaxValue + 1);
        if (type == typeof(short)) return (short)random.Next(short.MinValue, short.MaxValue + 1);
        if (type == typeof(int)) return random.Next(int.MinValue, int.MaxValue);
        if (type == typeof(long)) return random.NextInt64(long.MinValue, long.MaxValue);
        if (type == typeof(double)) return BitConverter.Int64BitsToDouble(random.NextInt64(long.MinValue, long.MaxValue));
        if (type == typeof(ErrorCode)) return (ErrorCode)random.Next(-1, 134);
        if (type == typeof(ApiKey)) return (ApiKey)random.Next(0, 93);
        if (type == typeof(Guid)) return new Guid(Bytes(random, 16));
        if (type == typeof(string)) return Text(random);
        if (type == typeof(byte[])) return Bytes(random, Length(random));
        if (type == typeof(ReadOnlyMemory<byte>?)) return (ReadOnlyMemory<byte>?)Bytes(random, Length(random));
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>)) return Items(type, random);
        if (type.IsAssignableTo(typeof(IMessage))) return Fill((IMessage)Activator.CreateInstance(type)!, random);
        throw new NotSupportedException($"A field of type {type} has no random value yet.");
    }

    private static IList Items(Type type, Random random)
    {
        var items = (IList)Activator.CreateInstance(type)!;
        int count = random.Next(4);
        for (int index = 0; index < count; index++) items.Add(Value(type.GetGenericArguments()[0], isNullable: false, random));
        return items;
    }

    /// <summary>Mostly short, now and then longer than what one byte of a compact length can say.</summary>
    private static int Length(Random random) => random.Next(20) == 0 ? random.Next(100, 400) : random.Next(12);

    private static string Text(Random random) =>
        string.Create(Length(random), random, static (characters, source) =>
        {
            const string alphabet = "abcXYZ019.-_éß漢字";
            foreach (ref char character in characters) character = alphabet[source.Next(alphabet.Length)];
        });

    private static byte[] Bytes(Random random, int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}
