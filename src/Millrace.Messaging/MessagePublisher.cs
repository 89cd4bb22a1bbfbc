using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Millrace.Kafka;

namespace Millrace;

/// <summary>Turns messages into records and writes them, while the host runs.</summary>
internal sealed class MessagePublisher
{
    private MessageWriter? _writer;
    private bool _hasRun;

    /// <summary>From here on messages may be published.</summary>
    public void Start(MessageWriter writer) => _writer = writer;

    /// <summary>From here on publishing throws.</summary>
    public void Stop()
    {
        _hasRun = true;
        _writer = null;
    }

    public Task PublishAsync(MessageKind kind, object message, MessageOptions options, CancellationToken cancellationToken)
    {
        MessageWriter writer = WriterFor(message);
        return writer.WriteAsync(writer.Prepare(kind, message, options, origin: null), cancellationToken);
    }

    /// <summary>Decides everything about a message that a handler writes, and writes nothing.</summary>
    public OutgoingMessage Prepare(MessageKind kind, object message, MessageOptions options, MessageContext origin) =>
        WriterFor(message).Prepare(kind, message, options, origin);

    private MessageWriter WriterFor(object message)
    {
        ArgumentNullException.ThrowIfNull(message);
        return _writer ?? ThrowNotRunning(message);
    }

    [DoesNotReturn]
    private MessageWriter ThrowNotRunning(object message) => throw new MillraceNotRunningException(_hasRun
        ? $"{message.GetType().Name} cannot be published: the host has stopped. Publish before IHost.StopAsync returns."
        : $"{message.GetType().Name} cannot be published: the host has not started. Start it first (await host.StartAsync() or host.RunAsync()), or publish from a hosted service.");
}

/// <summary>Writes messages to the log of a running host.</summary>
internal sealed class MessageWriter(
    MessageRegistry registry, Topology topology, bool isEmbedded, MessagingSettings settings, TimeProvider time, MessageIdSource ids,
    KafkaProducer producer, TopicCreator topics)
{
    public OutgoingMessage Prepare(MessageKind kind, object message, MessageOptions options, MessageContext? origin)
    {
        ArgumentNullException.ThrowIfNull(options);
        MessageDefinition definition = Definition(kind, message, options);
        byte[]? key = definition.Key?.Read(message);
        string id = options.MessageId ?? origin?.DeriveMessageId(definition.TypeName, key) ?? ids.Next().ToString("D");
        Envelope envelope = new()
        {
            MessageId = id,
            Type = definition.TypeName,
            Source = settings.Source,
            Time = time.GetUtcNow(),
            ContentType = EnvelopeHeaders.Json,
            CorrelationId = options.CorrelationId ?? origin?.CorrelationId ?? id,
            CausationId = options.CausationId ?? origin?.MessageId,
            TraceParent = origin?.Envelope.TraceParent,
            TraceState = origin?.Envelope.TraceState,
        };
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(message, definition.ClrType, settings.Json);
        return new OutgoingMessage(definition, key, body, envelope, options.Headers);
    }

    /// <summary>Writes messages in their order; returns when all are durable.</summary>
    public async Task WriteAsync(IReadOnlyList<OutgoingMessage> messages, CancellationToken cancellationToken)
    {
        if (messages.Count == 0) return;
        // First the topics: then every write below reaches the producer's queue before the next begins, and order holds.
        await topics.EnsureAsync([.. messages.Select(message => message.Definition.Topic).Distinct()], cancellationToken);
        await Task.WhenAll(messages.Select(message => WriteAsync(message, cancellationToken)));
    }

    /// <summary>Writes a message; returns when it is durable.</summary>
    public async Task WriteAsync(OutgoingMessage message, CancellationToken cancellationToken)
    {
        MessageDefinition definition = message.Definition;
        using Activity? activity = Diagnostics.StartSend(message);
        long started = time.GetTimestamp();
        string? errorType = null;
        try
        {
            if (!topics.IsKnown(definition.Topic)) await topics.EnsureAsync([definition.Topic], cancellationToken);
            ProducerRecord record = new()
            {
                Topic = definition.Topic,
                Key = message.Key is { } key ? (ReadOnlyMemory<byte>?)key : null,
                Value = message.Body,
                Headers = Diagnostics.WithTraceContext(message.Envelope, activity).Write(message.Headers),
                Timestamp = message.Envelope.Time,
            };
            Diagnostics.SetWritten(activity, await producer.ProduceAsync(record, cancellationToken));
        }
        catch (Exception failure)
        {
            errorType = failure.GetType().FullName;
            Diagnostics.SetFailed(activity, failure);
            throw;
        }
        finally
        {
            Diagnostics.RecordSent(definition, time.GetElapsedTime(started), errorType);
        }
    }

    private MessageDefinition Definition(MessageKind kind, object message, MessageOptions options)
    {
        MessageDefinition definition = registry.Get(message.GetType());
        if (definition.Kind != kind)
        {
            throw new MillraceConfigurationException(kind == MessageKind.Event
                ? $"{definition.ClrType.FullName} is a command. Send it with SendAsync; PublishAsync is for events."
                : $"{definition.ClrType.FullName} is an event. Publish it with PublishAsync; SendAsync is for commands.");
        }

        if (kind == MessageKind.Command && isEmbedded && !topology.IsHandled(definition))
        {
            throw new CommandNotHandledException(
                $"Nobody handles the command {definition}. Add its handler to an endpoint (millrace.AddEndpoint(\"...\", endpoint => endpoint.AddHandlers<T>())), or, if another program handles it, declare that with millrace.HandledElsewhere<{definition.ClrType.Name}>().");
        }

        foreach ((string header, _) in options.Headers)
        {
            if (string.IsNullOrEmpty(header) || EnvelopeHeaders.IsReserved(header))
                throw new ArgumentException($"The header '{header}' belongs to the envelope. Give it another name.", nameof(options));
        }

        return definition;
    }
}
