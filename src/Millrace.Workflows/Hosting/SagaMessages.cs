using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Millrace;

/// <summary>The messages that sagas exchange with whoever starts them and with the services, and the keys of their histories.</summary>
internal static class SagaMessages
{
    public const string StartType = "millrace.saga-start.v1";

    /// <summary>Longest instance id, in characters: it becomes a record key, a part of message ids and of history keys.</summary>
    public const int MaximumInstanceIdLength = 200;

    private const string Json = "application/json";

    public static OutgoingMessage Start(SagaDefinition saga, string instanceId, byte[] input, DateTimeOffset now, string? traceParent) => new(
        saga.InboxTopic,
        instanceId,
        input,
        new Envelope
        {
            MessageId = $"{saga.Name}/{instanceId}/start",
            Type = StartType,
            Source = Source(saga),
            Time = now,
            ContentType = Json,
            CorrelationId = $"{saga.Name}/{instanceId}",
            TraceParent = traceParent,
        },
        []);

    /// <summary>The command of a step: the same message, id included, however often it is sent.</summary>
    public static OutgoingMessage Command(SagaDefinition saga, SagaHistory history, StepScheduled step)
    {
        List<KeyValuePair<string, string>> headers =
        [
            new(ReplyHeaders.ReplyTo, saga.InboxTopic),
            new(ReplyHeaders.ReplyKey, history.InstanceId),
        ];
        if (step.Undoes is { } undone)
        {
            headers.Add(new(ReplyHeaders.Undoes, CommandId(saga, history.InstanceId, undone)));
        }

        return new OutgoingMessage(
            step.Command.Topic,
            step.Command.Key,
            JsonSerializer.SerializeToUtf8Bytes(step.Command.Body),
            new Envelope
            {
                MessageId = CommandId(saga, history.InstanceId, step.Step),
                Type = step.Command.Type,
                Source = Source(saga),
                Time = step.At,
                ContentType = Json,
                CorrelationId = history.Started!.CorrelationId,
                CausationId = step.CausationId,
                TraceParent = history.Started.TraceParent,
            },
            headers);
    }

    public static string CommandId(SagaDefinition saga, string instanceId, int step) =>
        string.Create(CultureInfo.InvariantCulture, $"{saga.Name}/{instanceId}/{step}");

    /// <summary>The step that a command id of this instance names; null for any other id.</summary>
    public static int? StepOf(SagaDefinition saga, string instanceId, string? commandId)
    {
        string prefix = $"{saga.Name}/{instanceId}/";
        return commandId is not null
            && commandId.StartsWith(prefix, StringComparison.Ordinal)
            && int.TryParse(commandId.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int step)
                ? step
                : null;
    }

    public static byte[] HistoryKey(string instanceId, int sequence) =>
        Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{instanceId}/{sequence:D8}"));

    /// <summary>Splits the key of a history record at its last slash: an instance id may hold slashes of its own.</summary>
    public static bool TryReadHistoryKey(ReadOnlySpan<byte> key, out string instanceId, out int sequence)
    {
        int slash = key.LastIndexOf((byte)'/');
        instanceId = slash > 0 ? Encoding.UTF8.GetString(key[..slash]) : "";
        sequence = 0;
        return slash > 0 && int.TryParse(key[(slash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out sequence);
    }

    private static string Source(SagaDefinition saga) => $"/sagas/{saga.Name}";
}
