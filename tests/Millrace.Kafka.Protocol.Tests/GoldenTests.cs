
namespace Millrace.Kafka.Protocol.Tests;

/// <summary>Our definitions against the bytes that Kafka's own definitions give, for every message and every version.</summary>
public class GoldenTests
{
    /// <summary>Enumerated from what can be sent, not from the file: a version without golden bytes is a test that fails.</summary>
    public static TheoryData<string, short> MessagesAndVersions
    {
        get
        {
            var rows = new TheoryData<string, short>();
            foreach (KnownMessage message in KnownMessages.All)
            {
                foreach (short version in message.Versions) rows.Add(message.Name, version);
            }

            return rows;
        }
    }

    [Fact]
    public void Every_api_that_can_be_sent_is_among_the_messages_with_golden_bytes()
    {
        IEnumerable<string> apis = KafkaApis.All.SelectMany(api => new[] { $"{api.Key}Request", $"{api.Key}Response" });
        Assert.Empty(apis.Except(KnownMessages.All.Select(message => message.Name)));
        foreach (ApiDefinition api in KafkaApis.All)
        {
            Assert.Equal((api.MinVersion, api.MaxVersion), (KnownMessages.Named($"{api.Key}Request").MinVersion, KnownMessages.Named($"{api.Key}Request").MaxVersion));
        }
    }

    [Fact]
    public void Golden_bytes_are_of_messages_and_versions_that_are_known()
    {
        IOrderedEnumerable<(string Name, short version)> ours = KnownMessages.All.SelectMany(message => message.Versions.Select(version => (message.Name, version))).Order();
        Assert.Equal(ours, KafkaDefinitions.Bytes.Where(golden => golden.Label is "filled").Select(golden => (golden.Message, golden.Version)).Order());
    }

    [Theory]
    [MemberData(nameof(MessagesAndVersions))]
    public void Every_field_is_read_from_where_Kafka_puts_it(string name, short version)
    {
        byte[] bytes = Assert.Single(Golden(name, version), golden => golden.Label is "filled").Bytes;
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

    [Theory]
    [MemberData(nameof(MessagesAndVersions))]
    public void A_message_is_written_as_Kafka_writes_it(string name, short version)
    {
        KnownMessage known = KnownMessages.Named(name);
        (string Label, byte[] Bytes)[] golden = [.. Golden(name, version)];
        Assert.Equal(["filled", "nulls", "empty"], golden.Select(row => row.Label));
        foreach ((string label, byte[] bytes) in golden)
        {
            byte[] written = known.Write(known.Read(bytes, version), version);
            Assert.True(bytes.AsSpan().SequenceEqual(written), $"{name} version {version}, {label}:\n{Convert.ToHexString(bytes)}\n{Convert.ToHexString(written)}");
        }
    }

    public static TheoryData<string, short> RequestsAndVersions =>
        [.. MessagesAndVersions.Where(row => row.Data.Item1.EndsWith("Request", StringComparison.Ordinal))];

    /// <summary>Size, header and body, as they go over the wire.</summary>
    [Theory]
    [MemberData(nameof(RequestsAndVersions))]
    public void A_request_and_its_response_are_framed_as_Kafka_frames_them(string name, short version)
    {
        ApiDefinition api = KafkaApis.All.Single(candidate => $"{candidate.Key}Request" == name);
        string responseName = $"{api.Key}Response";
        byte[] body = Golden(name, version).Single(row => row.Label is "filled").Bytes;
        Assert.Equal(Frame(name, version, body), FrameOf(KnownMessages.Named(name).Request(body, version, 7, "golden")));

        byte[] responseBody = Golden(responseName, version).Single(row => row.Label is "filled").Bytes;
        IMessage response = KnownMessages.Named(responseName).Read(responseBody, version);
        Assert.Equal(Frame(responseName, version, responseBody), FrameOf(MessageCodec.WriteResponse(response, api, version, correlationId: 7)));
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

    private static string Frame(string name, short version, byte[] body)
    {
        byte[] header = KafkaDefinitions.Headers[(name, version)];
        byte[] size = new byte[sizeof(int)];
        System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(size, header.Length + body.Length);
        return Convert.ToHexString([.. size, .. header, .. body]);
    }

    private static string FrameOf(FrameBuffer frame)
    {
        string text = Convert.ToHexString(frame.Bytes.Span);
        frame.Release();
        return text;
    }

    private static IEnumerable<(string Label, byte[] Bytes)> Golden(string name, short version) =>
        KafkaDefinitions.Bytes.Where(golden => golden.Message == name && golden.Version == version).Select(golden => (golden.Label, golden.Bytes));

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
