using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>One attempt at one record, from its bytes to its outcome. Never throws: a failure is an outcome.</summary>
/// <remarks>
/// A record comes to a conclusion: handled, with what the handler published; or given up, as a dead letter. The
/// conclusion is written, and only then is the record done. A conclusion that cannot be written is kept and written by the
/// next attempt, so that an outage of the log neither runs handlers again nor counts as their failure.
/// </remarks>
internal sealed class MessagePipeline(
    EndpointDefinition endpoint, Topology topology, MessagingSettings settings, MessagePublisher publisher, MessageWriter writer, FailureTable failures,
    RetryBackoff writeBackoff, IServiceScopeFactory scopes, TimeProvider time, ILogger logger) : IRecordPipeline
{
    public ValueTask OnAssignedAsync(AssignedPartition partition, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public void OnReleased(TopicPartition partition)
    {
    }

    /// <summary>Runs one attempt.</summary>
    /// <param name="record">The record.</param>
    /// <param name="progress">What earlier attempts left.</param>
    /// <param name="ownership">Tells the handler to end, and the pipeline to write nothing any more.</param>
    public async Task<DeliveryOutcome> HandleAsync(ConsumerRecord record, DeliveryProgress progress, Ownership ownership)
    {
        string topic = record.TopicPartition.Topic;
        Delivered delivered = new(record, Envelope.Read(record), progress, ownership);
        if (progress.Conclusion is { } pending) return await ConcludeAsync(delivered, pending);

        Routing routing = endpoint.Route(delivered.Envelope.Type, topic, topology);
        if (routing is Routing.Skip skip)
        {
            Diagnostics.RecordSkipped(endpoint.Name, topic, skip.Reason);
            if (skip == Routing.SkipUntyped) LogMessages.UntypedSkipped(logger, endpoint.Name, record.TopicPartition, record.Offset.Value);
            return DeliveryOutcome.Completed;
        }

        Activity? activity = Diagnostics.StartProcess(endpoint.Name, record, delivered.Envelope);
        using Ending ending = activity.Ending();
        long started = time.GetTimestamp();
        string? errorType = null;
        try
        {
            return await ConcludeAsync(delivered, Conclusion.Handled(await InvokeAsync(routing, delivered)));
        }
#pragma warning disable CA1031 // A handler may throw anything, and every failure has an outcome.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            errorType = failure.GetType().FullName;
            Diagnostics.SetFailed(activity, failure);
            return await JudgeAsync(delivered, failure);
        }
        finally
        {
            Diagnostics.RecordProcessed(endpoint.Name, topic, time.GetElapsedTime(started), errorType);
        }
    }

    /// <summary>Runs the handler; gives what is to be written.</summary>
    private async Task<IReadOnlyList<OutgoingMessage>> InvokeAsync(Routing routing, Delivered delivered)
    {
        if (routing is Routing.Unreadable unreadable) throw new UnreadableMessageException($"{Place(delivered.Record)} cannot be handled: {unreadable.Problem}.");
        (MessageDefinition definition, HandlerDefinition handler) = ((Routing.Handle)routing).Handler;
        object message = ReadBody(definition, delivered.Record, delivered.Envelope);
        await using AsyncServiceScope scope = scopes.CreateAsyncScope();
        MessageContext context = new(
            publisher, endpoint.Name, definition.Kind, delivered.Envelope, delivered.Record, delivered.Progress.Attempt, scope.ServiceProvider);
        HandlerAnswer answer = await handler.Invoke(message, context, delivered.Ownership.Leaving);
        IReadOnlyList<OutgoingMessage> outputs = context.End();
        if (answer.Rejection is { } rejection)
            LogMessages.Refused(logger, definition.TypeName, delivered.Envelope.MessageId, endpoint.Name, rejection.Reason);
        OutgoingMessage? reply = answer.Rejection is null
            ? ReplyTo(delivered, ReplyStatus.Completed, reason: null, Replies.Body(answer.Value, definition.ReplyType, settings.Json))
            : ReplyTo(delivered, ReplyStatus.Rejected, answer.Rejection.Reason, Replies.Body(value: null, type: null, settings.Json));
        return reply is null ? outputs : [.. outputs, reply];
    }

    /// <summary>Writes what a record came to. The record is done when that is durable.</summary>
    private async Task<DeliveryOutcome> ConcludeAsync(Delivered delivered, Conclusion conclusion)
    {
        (ConsumerRecord record, Envelope envelope, DeliveryProgress progress, Ownership ownership) = delivered;
        try
        {
            // A handler that completed although it was told to end still counts, until the partition is gone: then the next
            // owner handles the message, and writes what this one would have written.
            if (conclusion.Letter is { } letter)
            {
                await writer.WriteAsync(letter, ownership.Gone);
                conclusion = conclusion with { Letter = null };
                Diagnostics.RecordDeadLetter(endpoint.Name, record.TopicPartition.Topic);
            }

            await writer.WriteAsync(conclusion.Messages, ownership.Gone);
            return conclusion.IsDeadLetter ? DeliveryOutcome.DeadLettered : DeliveryOutcome.Completed;
        }
#pragma warning disable CA1031 // Every failure has an outcome.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            if (endpoint.Delivery == DeliveryMode.AtMostOnce) return GiveUp(delivered, failure);
            if (ownership.Leaving.IsCancellationRequested) return Abandon(record);
            // What the log will never take is the handler's failure: it wrote it. A dead letter has no handler to blame.
            if (!conclusion.IsDeadLetter && IsOfMessage(failure)) return await JudgeAsync(delivered, failure);

            conclusion = conclusion with { FailedWriteCount = conclusion.FailedWriteCount + 1 };
            TimeSpan delay = writeBackoff.DelayAfter(conclusion.FailedWriteCount);
            LogMessages.WriteWillRetry(
                logger, failure, envelope.Type, envelope.MessageId, endpoint.Name, record.TopicPartition, record.Offset.Value,
                conclusion.IsDeadLetter ? "its dead letter" : "what its handler published", failure.Message, delay);
            return new DeliveryOutcome.RetryAfter(delay, progress with { Conclusion = conclusion });
        }
    }

    private async Task<DeliveryOutcome> JudgeAsync(Delivered delivered, Exception failure)
    {
        (ConsumerRecord record, Envelope envelope, DeliveryProgress progress, Ownership ownership) = delivered;
        if (failure is OperationCanceledException && ownership.Leaving.IsCancellationRequested) return Abandon(record);
        if (endpoint.Delivery == DeliveryMode.AtMostOnce)
        {
            GiveUp(delivered, failure);
            return FailedReply(delivered, failure) is { } lost ? await ConcludeAsync(delivered, Conclusion.Handled([lost])) : DeliveryOutcome.Completed;
        }

        if (ownership.Leaving.IsCancellationRequested) return Abandon(record);

        DateTimeOffset now = time.GetUtcNow();
        switch (failures.Decide(failure, progress.Attempt))
        {
            case FailureDecision.Retry retry:
                Diagnostics.RecordRetry(endpoint.Name, record.TopicPartition.Topic, failure.GetType().FullName);
                LogMessages.WillRetry(
                    logger, failure, envelope.Type, envelope.MessageId, endpoint.Name, record.TopicPartition, record.Offset.Value, progress.Attempt, retry.Delay);
                return new DeliveryOutcome.RetryAfter(retry.Delay, progress.Failed(now));
            default:
                LogMessages.DeadLettered(
                    logger, failure, envelope.Type, envelope.MessageId, endpoint.Name, record.TopicPartition, record.Offset.Value, progress.Attempt,
                    endpoint.DeadLetterTopic, failure.Message);
                ProducerRecord letter = DeadLetters.Create(endpoint, record, failure, progress.Attempt, progress.FirstFailure ?? now, now);
                OutgoingMessage? reply = FailedReply(delivered, failure);
                return await ConcludeAsync(delivered, Conclusion.GivenUp(letter, reply is null ? [] : [reply]));
        }
    }

    private OutgoingMessage? FailedReply(Delivered delivered, Exception failure) => ReplyTo(
        delivered, ReplyStatus.Failed, $"{failure.GetType().FullName}: {failure.Message}", Replies.Body(value: null, type: null, settings.Json));

    /// <summary>The reply to a command that asks for one. Events have none, whatever their headers say.</summary>
    private OutgoingMessage? ReplyTo(Delivered delivered, ReplyStatus status, string? reason, byte[] body)
    {
        (ConsumerRecord record, Envelope envelope, _, _) = delivered;
        if (Replies.TopicOf(record) is not { } topic || !endpoint.TakesAsCommand(envelope.Type, record.TopicPartition.Topic)) return null;
        if (Replies.CanGoTo(topic)) return Replies.Create(topic, record, envelope, settings.Source, time.GetUtcNow(), status, reason, body);
        LogMessages.ReplyImpossible(logger, envelope.Type, envelope.MessageId, endpoint.Name, topic);
        return null;
    }

    private object ReadBody(MessageDefinition definition, ConsumerRecord record, Envelope envelope)
    {
        if (!envelope.IsJson)
            throw new UnreadableMessageException($"{Place(record)} is {envelope.ContentType}, and bodies of {definition.TypeName} are {EnvelopeHeaders.Json}. Correct its writer.");
        if (record.Value is not { } body)
            throw new UnreadableMessageException($"{Place(record)} is a {definition.TypeName} without a body. Correct its writer.");
        try
        {
            return JsonSerializer.Deserialize(body.Span, definition.ClrType, settings.Json)
                ?? throw new UnreadableMessageException($"The body of {Place(record)} is null, and not a {definition.TypeName}. Correct its writer.");
        }
        catch (Exception failure) when (failure is JsonException or NotSupportedException)
        {
            throw new UnreadableMessageException(
                $"The body of {Place(record)} is not a {definition.TypeName} as {definition.ClrType.FullName} has it: {failure.Message}", failure);
        }
    }

    private DeliveryOutcome GiveUp(Delivered delivered, Exception failure)
    {
        (ConsumerRecord record, Envelope envelope, _, _) = delivered;
        LogMessages.GivenUp(logger, failure, envelope.Type, envelope.MessageId, endpoint.Name, record.TopicPartition, record.Offset.Value);
        return DeliveryOutcome.Completed;
    }

    private DeliveryOutcome Abandon(ConsumerRecord record)
    {
        LogMessages.Abandoned(logger, endpoint.Name, record.TopicPartition, record.Offset.Value);
        return DeliveryOutcome.Abandoned;
    }

    /// <summary>Whether writing failed because of what was written, and not because of where to.</summary>
    private static bool IsOfMessage(Exception failure) =>
        failure is KafkaRecordTooLargeException or KafkaBrokerException { IsTransient: false } or ArgumentException;

    private static string Place(ConsumerRecord record) => $"record {record.Offset} of {record.TopicPartition}";

    /// <summary>One attempt's record and what belongs to it.</summary>
    private sealed record Delivered(ConsumerRecord Record, Envelope Envelope, DeliveryProgress Progress, Ownership Ownership);
}
