using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>One attempt at one record, from its bytes to its outcome. Never throws: a failure is an outcome.</summary>
internal sealed class MessagePipeline(
    EndpointDefinition endpoint, Topology topology, MessagingSettings settings, MessagePublisher publisher, MessageWriter writer, RetryBackoff backoff,
    IServiceScopeFactory scopes, TimeProvider time, ILogger logger) : IRecordPipeline
{
    public ValueTask OnAssignedAsync(TopicPartition partition, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public void OnReleased(TopicPartition partition)
    {
    }

    /// <summary>Runs one attempt.</summary>
    /// <param name="record">The record.</param>
    /// <param name="progress">What earlier attempts left.</param>
    /// <param name="ownership">Tells the handler to end, and the pipeline to write nothing any more.</param>
    public async Task<DeliveryOutcome> HandleAsync(ConsumerRecord record, DeliveryProgress progress, Ownership ownership)
    {
        CancellationToken cancellationToken = ownership.Leaving;
        string topic = record.TopicPartition.Topic;
        Envelope envelope = Envelope.Read(record);
        Routing routing = endpoint.Route(envelope.Type, topic, topology);
        if (routing is Routing.Skip skip)
        {
            Diagnostics.RecordSkipped(endpoint.Name, topic, skip.Reason);
            if (skip == Routing.SkipUntyped) LogMessages.UntypedSkipped(logger, endpoint.Name, record.TopicPartition, record.Offset.Value);
            return DeliveryOutcome.Completed;
        }

        using Activity? activity = Diagnostics.StartProcess(endpoint.Name, record, envelope);
        long started = time.GetTimestamp();
        string? errorType = null;
        try
        {
            await InvokeAsync(routing, record, envelope, progress.Attempt, ownership);
            return DeliveryOutcome.Completed;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            LogMessages.Abandoned(logger, endpoint.Name, record.TopicPartition, record.Offset.Value);
            return DeliveryOutcome.Abandoned;
        }
#pragma warning disable CA1031 // A handler may throw anything, and every failure has an outcome.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            errorType = failure.GetType().FullName;
            Diagnostics.SetFailed(activity, failure);
            return Judge(failure, record, envelope, progress, cancellationToken);
        }
        finally
        {
            Diagnostics.RecordProcessed(endpoint.Name, topic, time.GetElapsedTime(started), errorType);
        }
    }

    private async Task InvokeAsync(Routing routing, ConsumerRecord record, Envelope envelope, int attempt, Ownership ownership)
    {
        if (routing is Routing.Unreadable unreadable) throw new UnreadableMessageException($"{Place(record)} cannot be handled: {unreadable.Problem}.");
        (MessageDefinition definition, HandlerDefinition handler) = ((Routing.Handle)routing).Handler;
        object message = ReadBody(definition, record, envelope);
        await using AsyncServiceScope scope = scopes.CreateAsyncScope();
        MessageContext context = new(publisher, endpoint.Name, envelope, record, attempt, scope.ServiceProvider);
        HandlerAnswer answer = await handler.Invoke(message, context, ownership.Leaving);
        // A handler that completed although it was told to end still counts, until the partition is gone: then the next owner
        // handles the message, and writes what this one would have written.
        await writer.WriteAsync(context.End(), ownership.Gone);
        if (answer.Rejection is { } rejection) LogMessages.Refused(logger, definition.TypeName, envelope.MessageId, endpoint.Name, rejection.Reason);
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

    private DeliveryOutcome Judge(Exception failure, ConsumerRecord record, Envelope envelope, DeliveryProgress progress, CancellationToken cancellationToken)
    {
        if (endpoint.Delivery == DeliveryMode.AtMostOnce)
        {
            LogMessages.GivenUp(logger, failure, envelope.Type, envelope.MessageId, endpoint.Name, record.TopicPartition, record.Offset.Value);
            return DeliveryOutcome.Completed;
        }

        if (cancellationToken.IsCancellationRequested)
        {
            LogMessages.Abandoned(logger, endpoint.Name, record.TopicPartition, record.Offset.Value);
            return DeliveryOutcome.Abandoned;
        }

        int attempt = progress.Attempt;
        TimeSpan delay = backoff.DelayAfter(attempt);
        Diagnostics.RecordRetry(endpoint.Name, record.TopicPartition.Topic, failure.GetType().FullName);
        if (failure is UnreadableMessageException)
            LogMessages.Unreadable(logger, failure, endpoint.Name, failure.Message, attempt, delay);
        else
            LogMessages.WillRetry(logger, failure, envelope.Type, envelope.MessageId, endpoint.Name, record.TopicPartition, record.Offset.Value, attempt, delay);
        return new DeliveryOutcome.RetryAfter(delay, progress.Failed(time.GetUtcNow()));
    }

    private static string Place(ConsumerRecord record) => $"record {record.Offset} of {record.TopicPartition}";
}
