using System.Text.Json;
using System.Text.Json.Serialization;

namespace Millrace;

/// <summary>
/// One record of an instance's history. Its key is <c>{instance}/{sequence}@{epoch of the owner}</c>; its value is this event as JSON, so that any Kafka
/// tool shows what a saga did.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "event")]
[JsonDerivedType(typeof(SagaStarted), "started")]
[JsonDerivedType(typeof(StepScheduled), "step-scheduled")]
[JsonDerivedType(typeof(StepReplied), "step-replied")]
[JsonDerivedType(typeof(CompensationStarted), "compensation-started")]
[JsonDerivedType(typeof(SagaEnded), "ended")]
internal abstract record HistoryEvent(DateTimeOffset At);

/// <summary>The first event of every instance.</summary>
internal sealed record SagaStarted(
    DateTimeOffset At, int Version, JsonElement Input, string MessageId, string CorrelationId, string? TraceParent) : HistoryEvent(At);

/// <summary>
/// A command is about to be sent. It is sent again after a crash for as long as it has no reply. <see cref="Undoes"/> is the step that
/// an undo undoes; <see cref="CausationId"/> is the message that made the saga schedule this one.
/// </summary>
internal sealed record StepScheduled(
    DateTimeOffset At, int Step, string Name, StepKind Kind, SerializedCommand Command, SerializedCommand? Undo, int? Undoes, string CausationId)
    : HistoryEvent(At);

/// <summary>The answer to a scheduled step. The first one counts.</summary>
internal sealed record StepReplied(DateTimeOffset At, int Step, ReplyStatus Status, string? Reason, JsonElement? Body) : HistoryEvent(At);

/// <summary>The saga failed: from here on only undos are scheduled.</summary>
internal sealed record CompensationStarted(DateTimeOffset At, string Reason) : HistoryEvent(At);

/// <summary>The last event of an instance; one that waits for a person ends too, as <see cref="SagaState.NeedsAttention"/>.</summary>
internal sealed record SagaEnded(DateTimeOffset At, SagaState State, string? Reason, JsonElement? Result) : HistoryEvent(At);

/// <summary>A command as its message carries it, so that it can be sent again by a process that runs no code of the saga.</summary>
internal sealed record SerializedCommand(string Type, string Topic, string? Key, JsonElement Body);

[JsonConverter(typeof(JsonStringEnumConverter<StepKind>))]
internal enum StepKind
{
    Do,
    Pivot,
    Undo,
}
