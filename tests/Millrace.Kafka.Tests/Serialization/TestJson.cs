using System.Text.Json.Serialization;

namespace Millrace.Kafka.Tests;

internal sealed record TestOrder(string Id, int Total);

internal readonly record struct TestReading(long Sensor, double Value);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(TestOrder))]
[JsonSerializable(typeof(TestReading))]
internal sealed partial class TestJson : JsonSerializerContext;
