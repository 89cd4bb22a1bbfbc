using System.Text.Json;

namespace Millrace;

/// <summary>Commands, inputs, replies and results to JSON and back, as their messages carry them.</summary>
/// <param name="prepare">A command with its type, topic and key; throws where it is not one, or where nobody handles it.</param>
/// <param name="options">The application's JSON settings.</param>
internal sealed class SagaSerializer(Func<object, SerializedCommand> prepare, JsonSerializerOptions options)
{
    // Not the application's: a history outlives the settings that it was written under. The bodies within keep the application's form.
    private static readonly JsonSerializerOptions s_eventOptions = JsonSerializerOptions.Web;

    public SerializedCommand Write(object command) => prepare(command);

    public JsonElement? WriteBody(object? value) =>
        value is null ? null : JsonSerializer.SerializeToElement(value, value.GetType(), options);

    public object ReadInput(JsonElement input, Type type) =>
        input.Deserialize(type, options) ?? throw new JsonException($"The input of a saga is null; it must be a {type}.");

    public TReply ReadBody<TReply>(JsonElement? body) => body is { } element ? element.Deserialize<TReply>(options)! : default!;

    public byte[] WriteEvent(HistoryEvent next) => JsonSerializer.SerializeToUtf8Bytes(next, s_eventOptions);

    public HistoryEvent ReadEvent(ReadOnlyMemory<byte> json) =>
        JsonSerializer.Deserialize<HistoryEvent>(json.Span, s_eventOptions) ?? throw new JsonException("An event of a saga's history is null.");
}
