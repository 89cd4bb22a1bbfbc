using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Millrace.Kafka;

namespace Millrace;

/// <summary>Decides what a message is on the wire, and writes messages to the log of a running host.</summary>
/// <remarks>For packages that build on messaging. Programs publish through <see cref="IMessageBus"/>.</remarks>
public sealed class MessageWriter
{
    private readonly MessageRegistry _registry;
    private readonly Topology _topology;
    private readonly bool _isEmbedded;
    private readonly MessagingSettings _settings;
    private readonly TimeProvider _time;
    private readonly MessageIdSource _ids;
    private readonly KafkaProducer _producer;
    private readonly TopicCreator _topics;

    internal MessageWriter(
        MessageRegistry registry, Topology topology, bool isEmbedded, MessagingSettings settings, TimeProvider time, MessageIdSource ids,
        KafkaProducer producer, TopicCreator topics)
    {
        _registry = registry;
        _topology = topology;
        _isEmbedded = isEmbedded;
        _settings = settings;
        _time = time;
        _ids = ids;
        _producer = producer;
        _topics = topics;
    }

    /// <summary>Decides everything about a command, and writes nothing: its type, topic, key and body.</summary>
    /// <param name="command">An instance of a type with <see cref="CommandAttribute"/>.</param>
    /// <param name="options">The command's id, its place in a chain, and headers beside the envelope.</param>
    /// <exception cref="CommandNotHandledException">The log is embedded, and nobody in the application handles the command.</exception>
    /// <exception cref="MillraceConfigurationException">The type is not a command, or shares its name with another type.</exception>
    public OutgoingMessage PrepareCommand(object command, MessageOptions options)
    {
        ArgumentNullException.ThrowIfNull(command);
        return Prepare(MessageKind.Command, command, options, origin: null);
    }

    /// <summary>Writes messages in their order; returns when all are durable.</summary>
    /// <remarks>A call that throws may have written some: writing them again gives receivers the same ids.</remarks>
    /// <param name="messages">The messages.</param>
    /// <param name="cancellationToken">Stops waiting; the messages may be written all the same.</param>
    /// <exception cref="KafkaException">The log refused a record, or did not answer in time.</exception>
    public async Task WriteAsync(IReadOnlyList<OutgoingMessage> messages, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (messages.Count == 0) return;
        // First the topics: then every write below reaches the producer's queue before the next begins, and order holds.
        await _topics.EnsureAsync([.. messages.Where(NeedsTopic).Select(message => message.Topic).Distinct()], cancellationToken);
        await Task.WhenAll(messages.Select(message => WriteAsync(message, cancellationToken)));
    }

    internal OutgoingMessage Prepare(MessageKind kind, object message, MessageOptions options, MessageContext? origin)
    {
        ArgumentNullException.ThrowIfNull(options);
        MessageDefinition definition = Definition(kind, message, options);
        string? key = definition.Key?.Read(message);
        string id = options.MessageId ?? origin?.DeriveMessageId(definition.TypeName, key) ?? _ids.Next().ToString("D");
        Envelope envelope = new()
        {
            MessageId = id,
            Type = definition.TypeName,
            Source = _settings.Source,
            Time = _time.GetUtcNow(),
            ContentType = EnvelopeHeaders.Json,
            CorrelationId = options.CorrelationId ?? origin?.CorrelationId ?? id,
            CausationId = options.CausationId ?? origin?.MessageId,
            TraceParent = origin?.Envelope.TraceParent,
            TraceState = origin?.Envelope.TraceState,
        };
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(message, definition.ClrType, _settings.Json);
        return new OutgoingMessage(definition.Topic, key, body, envelope, options.Headers);
    }

    /// <summary>Writes a message; returns when it is durable.</summary>
    internal async Task WriteAsync(OutgoingMessage message, CancellationToken cancellationToken)
    {
        Activity? activity = Diagnostics.StartSend(message);
        using Ending ending = activity.Ending();
        try
        {
            if (NeedsTopic(message)) await _topics.EnsureAsync([message.Topic], cancellationToken);
            ProducerRecord record = new()
            {
                Topic = message.Topic,
                Key = message.Key is { } key ? (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(key) : null,
                Value = message.Body,
                Headers = Diagnostics.WithTraceContext(message.Envelope, activity).Write(message.Headers),
                Timestamp = message.Envelope.Time,
            };
            Diagnostics.SetWritten(activity, await _producer.ProduceAsync(record, cancellationToken));
        }
        catch (Exception failure)
        {
            Diagnostics.SetFailed(activity, failure);
            throw;
        }
    }

    /// <summary>Writes a record as it is; returns when it is durable.</summary>
    internal async Task WriteAsync(ProducerRecord record, CancellationToken cancellationToken)
    {
        if (!_topics.IsKnown(record.Topic)) await _topics.EnsureAsync([record.Topic], cancellationToken);
        await _producer.ProduceAsync(record, cancellationToken);
    }

    // A reply goes where its asker listens. The name came from outside, so that it makes no topic.
    private bool NeedsTopic(OutgoingMessage message) =>
        message.Envelope.Type != ReplyHeaders.ReplyType && !_topics.IsKnown(message.Topic);

    private MessageDefinition Definition(MessageKind kind, object message, MessageOptions options)
    {
        MessageDefinition definition = _registry.Get(message.GetType());
        if (definition.Kind != kind)
        {
            throw new MillraceConfigurationException(kind == MessageKind.Event
                ? $"{definition.ClrType.FullName} is a command. Send it with SendAsync; PublishAsync is for events."
                : $"{definition.ClrType.FullName} is an event. Publish it with PublishAsync; SendAsync is for commands.");
        }

        if (kind == MessageKind.Command && _isEmbedded && !_topology.IsHandled(definition))
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
