using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>The last things that happened in a simulation, as text for who looks for the reason of a failure.</summary>
internal sealed class BrokerTrace(TimeProvider clock, int lineCount)
{
    private static readonly JsonSerializerOptions Format = new()
    {
        IncludeFields = true,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
        Converters = { new RecordsConverter(), new JsonStringEnumConverter() },
    };

    private readonly Queue<string> _lines = new();

    public IEnumerable<string> Lines => _lines;

    public void Add(string line)
    {
        _lines.Enqueue($"{clock.GetTimestamp() / TimeSpan.TicksPerMillisecond,8} {line}");
        if (_lines.Count > lineCount)
        {
            _lines.Dequeue();
        }
    }

    public void Add(string who, ApiKey api, object? message) =>
        Add($"{who} {api} {(message is null ? "lost" : JsonSerializer.Serialize(message, message.GetType(), Format))}");

    /// <summary>Batches as what stands in their headers.</summary>
    private sealed class RecordsConverter : JsonConverter<ReadOnlyMemory<byte>>
    {
        public override ReadOnlyMemory<byte> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, ReadOnlyMemory<byte> value, JsonSerializerOptions options)
        {
            List<string> batches = [];
            while (value.Length >= RecordBatchHeader.ByteCount)
            {
                RecordBatchHeader header = RecordBatchHeader.Read(value.Span);
                string ids = header.IsControl ? "marker" : string.Join(' ', BrokerReader.IdsOf(value[..header.TotalByteCount]));
                batches.Add($"{header.BaseOffset}: {ids} ({header.Producer.Id}/{header.Producer.Epoch} {header.BaseSequence})");
                value = value[header.TotalByteCount..];
            }

            writer.WriteStringValue(string.Join(", ", batches));
        }
    }
}
