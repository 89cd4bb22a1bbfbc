using System.Text;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// The message that a handler handles: its envelope, where it stands in the log, and a bus whose messages carry the
/// chain's correlation, causation and trace context on.
/// </summary>
/// <remarks>
/// <para>What a handler publishes and sends through its context is kept until the handler has completed, and then written
/// in that order before the handled message counts as done: a handler that fails has written nothing. Each message gets
/// an id that is the same whenever the handler runs again for the same message.</para>
/// <para>Valid while the handler runs. Pass it on where an <see cref="IMessageBus"/> is wanted.</para>
/// </remarks>
public sealed class MessageContext : IMessageBus
{
    private readonly MessagePublisher _publisher;
    private readonly Lock _gate = new();
    private readonly List<OutgoingMessage> _outputs = [];
    private Dictionary<Guid, int>? _numbers;
    private bool _hasEnded;

    internal MessageContext(
        MessagePublisher publisher, string endpoint, MessageKind kind, Envelope envelope, Kafka.ConsumerRecord record, int attempt,
        IServiceProvider services)
    {
        _publisher = publisher;
        Endpoint = endpoint;
        IsCommand = kind == MessageKind.Command;
        Envelope = envelope;
        Attempt = attempt;
        Services = services;
        TopicPartition = record.TopicPartition;
        Offset = record.Offset;
        Headers = record.Headers;
        Key = record.Key is { } key ? Encoding.UTF8.GetString(key.Span) : null;
    }

    /// <summary>The endpoint that handles the message.</summary>
    public string Endpoint { get; }

    /// <summary>Whether the message is a command, which no other endpoint handles; otherwise an event.</summary>
    public bool IsCommand { get; }

    /// <summary>The message's id: the same at every delivery. Of a record without one: its coordinates, <c>topic-partition@offset</c>.</summary>
    public string MessageId => Envelope.MessageId;

    /// <summary>The id that every message of the chain shares.</summary>
    public string CorrelationId => Envelope.CorrelationId;

    /// <summary>The id of the message whose handling wrote this one; null at the start of a chain.</summary>
    public string? CausationId => Envelope.CausationId;

    /// <summary>The message's type with its version, for example <c>shop.order-created.v1</c>.</summary>
    public string Type => Envelope.Type!;

    /// <summary>The application that wrote the message; null where it does not say.</summary>
    public string? Source => Envelope.Source;

    /// <summary>When the message was written, by its writer's clock.</summary>
    public DateTimeOffset Time => Envelope.Time;

    /// <summary>The message's key as text; null when it has none.</summary>
    public string? Key { get; }

    /// <summary>Which attempt this is, from 1, counted since this process took the message up.</summary>
    public int Attempt { get; }

    /// <summary>
    /// A text that names this message at this endpoint, the same at every attempt and every delivery. Give it to whatever
    /// takes an idempotency key (a payment gateway, a unique column): effects outside the log happen at least once.
    /// </summary>
    public string IdempotencyKey => $"{Endpoint}/{MessageId}";

    /// <summary>The topic and partition that the message stands in.</summary>
    public TopicPartition TopicPartition { get; }

    /// <summary>The message's position in its partition.</summary>
    public Offset Offset { get; }

    /// <summary>Every header of the record, the envelope's included.</summary>
    public IReadOnlyList<RecordHeader> Headers { get; }

    /// <summary>The services of this message's scope, which ends with the handler.</summary>
    public IServiceProvider Services { get; }

    /// <summary>
    /// The id of the command that this one undoes; null on a command that undoes none. The other one may come later than
    /// this one, and is then to be refused.
    /// </summary>
    public string? Undoes => FindHeader(ReplyHeaders.Undoes);

    /// <summary>What the handler has published and sent through its context so far, in that order.</summary>
    public IReadOnlyList<OutgoingMessage> Outputs
    {
        get
        {
            lock (_gate) return [.. _outputs];
        }
    }

    internal Envelope Envelope { get; }

    /// <summary>The text of the last header with this name; null when there is none.</summary>
    /// <param name="name">The header's name, as it is written.</param>
    public string? FindHeader(string name) => Envelope.FindHeader(Headers, name);

    /// <summary>Publishes an event when the handler has completed.</summary>
    /// <typeparam name="TEvent">A type with <see cref="EventAttribute"/>.</typeparam>
    /// <param name="message">The event, which is serialised at once: later changes to it are not seen.</param>
    /// <param name="cancellationToken">Not used: the call does not wait.</param>
    /// <exception cref="InvalidOperationException">The handler has ended.</exception>
    /// <exception cref="MillraceConfigurationException">The type is not an event, or shares its name with another type.</exception>
    public Task PublishAsync<TEvent>(TEvent message, CancellationToken cancellationToken = default)
        where TEvent : notnull => Keep(MessageKind.Event, message, MessageOptions.None);

    /// <inheritdoc cref="PublishAsync{TEvent}(TEvent, CancellationToken)"/>
    /// <param name="message">The event, which is serialised at once: later changes to it are not seen.</param>
    /// <param name="options">The event's id, its place in a chain, and headers of its own.</param>
    /// <param name="cancellationToken">Not used: the call does not wait.</param>
    public Task PublishAsync<TEvent>(TEvent message, MessageOptions options, CancellationToken cancellationToken = default)
        where TEvent : notnull => Keep(MessageKind.Event, message, options);

    /// <summary>Sends a command when the handler has completed.</summary>
    /// <typeparam name="TCommand">A type with <see cref="CommandAttribute"/>.</typeparam>
    /// <param name="command">The command, which is serialised at once: later changes to it are not seen.</param>
    /// <param name="cancellationToken">Not used: the call does not wait.</param>
    /// <exception cref="InvalidOperationException">The handler has ended.</exception>
    /// <exception cref="CommandNotHandledException">The log is embedded, and nobody in the application handles the command.</exception>
    /// <exception cref="MillraceConfigurationException">The type is not a command, or shares its name with another type.</exception>
    public Task SendAsync<TCommand>(TCommand command, CancellationToken cancellationToken = default)
        where TCommand : notnull => Keep(MessageKind.Command, command, MessageOptions.None);

    /// <inheritdoc cref="SendAsync{TCommand}(TCommand, CancellationToken)"/>
    /// <param name="command">The command, which is serialised at once: later changes to it are not seen.</param>
    /// <param name="options">The command's id, its place in a chain, and headers of its own.</param>
    /// <param name="cancellationToken">Not used: the call does not wait.</param>
    public Task SendAsync<TCommand>(TCommand command, MessageOptions options, CancellationToken cancellationToken = default)
        where TCommand : notnull => Keep(MessageKind.Command, command, options);

    /// <summary>
    /// Replaces what the handler has published so far, for example by what an earlier run of it stored: these messages are
    /// written instead, with the ids that they have. What the handler publishes afterwards is numbered on from them.
    /// </summary>
    /// <param name="outputs">The messages.</param>
    /// <exception cref="InvalidOperationException">The handler has ended.</exception>
    public void Restore(IReadOnlyList<OutgoingMessage> outputs)
    {
        ArgumentNullException.ThrowIfNull(outputs);
        lock (_gate)
        {
            if (_hasEnded) throw new InvalidOperationException("The handler has ended: what it published is on its way. Restore before it returns.");
            _outputs.Clear();
            _outputs.AddRange(outputs);
            _numbers = null;
            foreach (OutgoingMessage output in outputs) Recount(output);
        }
    }

    /// <summary>Ends the handler's part: nothing more may be published. Gives what was.</summary>
    internal IReadOnlyList<OutgoingMessage> End()
    {
        lock (_gate)
        {
            _hasEnded = true;
            return _outputs;
        }
    }

    internal string DeriveMessageId(string typeName, string? key)
    {
        // The id of the first of a type and key names the type and key.
        Guid first = Derive(typeName, key, number: 0);
        int number;
        lock (_gate)
        {
            _numbers ??= [];
            number = _numbers.GetValueOrDefault(first);
            _numbers[first] = number + 1;
        }

        return (number == 0 ? first : Derive(typeName, key, number)).ToString("D");
    }

    private Guid Derive(string typeName, string? key, int number) =>
        MessageIdSource.Derive(Endpoint, MessageId, typeName, key is null ? [] : Encoding.UTF8.GetBytes(key), number);

    // Under the lock. A message with an id of its own was not counted when it was published, and is not now.
    private void Recount(OutgoingMessage output)
    {
        if (output.Envelope.Type is not { } typeName) return;
        Guid first = Derive(typeName, output.Key, number: 0);
        int number = _numbers?.GetValueOrDefault(first) ?? 0;
        Guid expected = number == 0 ? first : Derive(typeName, output.Key, number);
        if (output.Envelope.MessageId != expected.ToString("D")) return;
        _numbers ??= [];
        _numbers[first] = number + 1;
    }

    private Task Keep(MessageKind kind, object message, MessageOptions options)
    {
        OutgoingMessage output = _publisher.Prepare(kind, message, options, this);
        lock (_gate)
        {
            if (_hasEnded)
            {
                throw new InvalidOperationException(
                    $"{output.Envelope.Type} was published after its handler had ended. Await everything that a handler starts, or publish through IMessageBus.");
            }

            _outputs.Add(output);
        }

        return Task.CompletedTask;
    }
}
