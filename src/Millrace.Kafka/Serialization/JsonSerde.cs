using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Millrace.Kafka;

/// <summary>JSON by metadata that a source generator wrote. Writers are used again, so that one costs nothing for a record.</summary>
internal sealed class JsonSerde<T>(JsonTypeInfo<T> typeInfo) : IKafkaSerde<T>
{
    private const int MaxSpareCount = 64;

    private readonly JsonWriterOptions _options = new()
    {
        Encoder = typeInfo.Options.Encoder,
        Indented = typeInfo.Options.WriteIndented,
        MaxDepth = typeInfo.Options.MaxDepth,

        // What the serialiser writes is well formed.
        SkipValidation = true,
    };

    private readonly WriterPool _spare = new();

    public void Serialize(T value, IBufferWriter<byte> destination, SerializationContext context)
    {
        Utf8JsonWriter writer = _spare.Rent(destination, _options);
        JsonSerializer.Serialize(writer, value, typeInfo);
        writer.Flush();

        // One that was left in the middle by a failure is not used again.
        _spare.Return(writer);
    }

    public T Deserialize(ReadOnlySpan<byte> data, SerializationContext context) => JsonSerializer.Deserialize(data, typeInfo)!;

    private sealed class WriterPool
    {
        private readonly Lock _gate = new();
        private readonly Stack<Utf8JsonWriter> _writers = [];

        public Utf8JsonWriter Rent(IBufferWriter<byte> destination, JsonWriterOptions options)
        {
            Utf8JsonWriter? writer;
            lock (_gate)
            {
                _writers.TryPop(out writer);
            }

            if (writer is null)
            {
                return new Utf8JsonWriter(destination, options);
            }

            writer.Reset(destination);
            return writer;
        }

        public void Return(Utf8JsonWriter writer)
        {
            lock (_gate)
            {
                if (_writers.Count < MaxSpareCount)
                {
                    _writers.Push(writer);
                }
            }
        }
    }
}
