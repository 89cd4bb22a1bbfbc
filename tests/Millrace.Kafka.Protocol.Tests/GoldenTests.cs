
namespace Millrace.Kafka.Protocol.Tests;

/// <summary>Our definitions against the bytes that Kafka's own definitions give, for every message and every version.</summary>
public class GoldenTests
{
    [Fact]
    public void Every_message_and_every_version_has_golden_bytes()
    {
        IOrderedEnumerable<(string Name, short version)> ours = KnownMessages.All.SelectMany(message => message.Versions.Select(version => (message.Name, version))).Order();
        Assert.Equal(ours, KafkaDefinitions.Bytes.Where(golden => golden.Label is "filled").Select(golden => (golden.Message, golden.Version)).Order());
    }

    [Fact]
    public void Every_field_is_read_from_where_Kafka_puts_it()
    {
        foreach ((string _, string? name, short version, byte[]? bytes) in KafkaDefinitions.Bytes.Where(golden => golden.Label is "filled"))
        {
            KnownMessage known = KnownMessages.Named(name);
            IMessage message = known.Read(bytes, version);
            var blank = KafkaDefinitions.Flatten(known.Create()).ToDictionary(field => field.Path, field => field.Value, StringComparer.Ordinal);
            int seen = 0;
            foreach ((string? path, System.Reflection.FieldInfo? field, object? value) in KafkaDefinitions.Flatten(message))
            {
                object? expected = KafkaDefinitions.ExpectedValue(path, value);
                if (expected is not null && AreEqual(expected, value))
                {
                    seen++;
                    continue;
                }

                // A field that this version lacks keeps its default.
                object? fallback = blank.TryGetValue(path, out object? known1) ? known1 : field.GetValue(Activator.CreateInstance(field.DeclaringType!));
                Assert.True(AreEqual(fallback, value), $"{name} version {version}: {path} is {value}, not {expected} nor its default {fallback}.");
            }

            Assert.True(seen > 0 || bytes.Length <= 1, $"{name} version {version}: no field was read.");
        }
    }

    [Fact]
    public void Every_message_is_written_as_Kafka_writes_it()
    {
        foreach ((string? label, string? name, short version, byte[]? bytes) in KafkaDefinitions.Bytes)
        {
            KnownMessage known = KnownMessages.Named(name);
            byte[] written = known.Write(known.Read(bytes, version), version);
            Assert.True(bytes.AsSpan().SequenceEqual(written), $"{name} version {version}, {label}:\n{Convert.ToHexString(bytes)}\n{Convert.ToHexString(written)}");
        }
    }

    [Fact]
    public void Fields_have_the_defaults_that_Kafka_documents()
    {
        // These are in every version, so their default is never seen on the wire: null is what an idempotent producer means, and -1 a consumer.
        string[] exceptions = ["InitProducerIdRequest TransactionalId", "ListOffsetsRequest ReplicaId"];
        int checkedCount = 0;
        foreach ((string? name, string? path, string? expected) in KafkaDefinitions.Defaults)
        {
            string[] steps = path.Split('.');
            Type? type = KnownMessages.Named(name).Create().GetType();
            foreach (string step in steps[..^1]) type = ElementType(FieldNamed(type, step)?.FieldType);
            if (FieldNamed(type, steps[^1]) is not { } field) continue;
            if (exceptions.Contains($"{name} {path}", StringComparer.Ordinal)) continue;
            string? actual = field.GetValue(Activator.CreateInstance(field.DeclaringType!)) switch
            {
                null => "null",
                string text => $"\"{text}\"",
                bool flag => flag ? "true" : "false",
                Enum code => Convert.ToInt16(code).ToString(),
                var number => number.ToString(),
            };

            Assert.True(expected == actual, $"{name} {path} is {actual}, in Kafka {expected}.");
            checkedCount++;
        }

        Assert.True(checkedCount > 150, $"Only {checkedCount} defaults were compared.");
    }

    private static System.Reflection.FieldInfo? FieldNamed(Type? type, string kafkaName) =>
        type?.GetFields().FirstOrDefault(field => !field.IsStatic && KafkaDefinitions.KafkaName(field) == kafkaName);

    private static Type? ElementType(Type? type) => type is { IsGenericType: true } ? type.GetGenericArguments()[0] : type;

    private static bool AreEqual(object? expected, object? actual) => (expected, actual) switch
    {
        (byte[] left, byte[] right) => left.AsSpan().SequenceEqual(right),
        (byte[] left, ReadOnlyMemory<byte> right) => left.AsSpan().SequenceEqual(right.Span),
        _ => Equals(expected, actual),
    };
}
