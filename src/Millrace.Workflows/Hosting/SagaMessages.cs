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

    /// <summary>
    /// <c>{instance}/{sequence}@{epoch}</c>, or <c>{instance}/{sequence}@{epoch}.{attempt}</c> after a write of this owner has failed, whose
    /// record may be there all the same: each write has a key of its own.
    /// </summary>
    public static byte[] WriteHistoryKey(HistoryKey key) => Encoding.UTF8.GetBytes(key.Attempt == 0
        ? string.Create(CultureInfo.InvariantCulture, $"{key.InstanceId}/{key.Sequence:D8}@{key.Epoch}")
        : string.Create(CultureInfo.InvariantCulture, $"{key.InstanceId}/{key.Sequence:D8}@{key.Epoch}.{key.Attempt}"));

    /// <summary>Splits the key of a history record at its last slash: an instance id may hold slashes of its own.</summary>
    public static bool TryReadHistoryKey(ReadOnlySpan<byte> key, out HistoryKey read)
    {
        read = default;
        int slash = key.LastIndexOf((byte)'/');
        int at = key.LastIndexOf((byte)'@');
        if (slash <= 0 || at < slash) return false;
        ReadOnlySpan<byte> writer = key[(at + 1)..];
        int dot = writer.IndexOf((byte)'.');
        int attempt = 0;
        bool isRead = int.TryParse(key[(slash + 1)..at], NumberStyles.None, CultureInfo.InvariantCulture, out int sequence)
            & int.TryParse(dot < 0 ? writer : writer[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out int epoch)
            & (dot < 0 || int.TryParse(writer[(dot + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out attempt));
        if (isRead) read = new HistoryKey(Encoding.UTF8.GetString(key[..slash]), sequence, epoch, attempt);
        return isRead;
    }

    /// <summary><c>owner@{epoch}@{member}</c>: without a slash, which every key of a history has.</summary>
    public static byte[] WriteOwnerKey(int epoch, string memberId) =>
        Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"owner@{epoch}@{memberId.Replace('/', '-')}"));

    public static bool IsOwnerKey(ReadOnlySpan<byte> key) => key.StartsWith("owner@"u8) && !key.Contains((byte)'/');

    public static byte[] WriteOwner(int epoch) => JsonSerializer.SerializeToUtf8Bytes(new Owner(epoch), JsonSerializerOptions.Web);

    public static bool TryReadOwner(ReadOnlySpan<byte> value, out int epoch)
    {
        try
        {
            epoch = JsonSerializer.Deserialize<Owner>(value, JsonSerializerOptions.Web)?.Epoch ?? 0;
        }
        catch (JsonException)
        {
            epoch = 0;
        }

        return epoch > 0;
    }

    private static string Source(SagaDefinition saga) => $"/sagas/{saga.Name}";

    /// <summary>The record that an owner of a partition of histories begins with.</summary>
    private sealed record Owner(int Epoch);
}

/// <summary>What the key of a record of a history says.</summary>
/// <param name="InstanceId">Whose history.</param>
/// <param name="Sequence">The event's number in it, from 0.</param>
/// <param name="Epoch">Which owner of the partition wrote it.</param>
/// <param name="Attempt">How many writes of that owner had failed before.</param>
internal readonly record struct HistoryKey(string InstanceId, int Sequence, int Epoch, int Attempt);
