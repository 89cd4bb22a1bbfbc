namespace Millrace;

/// <summary>Publishes events and sends commands.</summary>
/// <remarks>
/// <para>Inject it anywhere; inside a handler use the <see cref="MessageContext"/>, which is a bus too: it carries
/// correlation, causation and trace context on, and writes when the handler has completed.</para>
/// <para>A call on the injected bus is durable when it returns: the record is acknowledged with acks=all (on the disk of
/// the embedded broker; on min.insync.replicas of a Kafka cluster). A call that throws may have written the message or
/// not. Messages of one key that are published one after the other are handled in that order.</para>
/// </remarks>
public interface IMessageBus
{
    /// <summary>Publishes an event to whoever handles it, now or later.</summary>
    /// <typeparam name="TEvent">A type with <see cref="EventAttribute"/>.</typeparam>
    /// <param name="message">The event.</param>
    /// <param name="cancellationToken">Stops waiting; the event may be written all the same.</param>
    /// <exception cref="MillraceNotRunningException">The host has not started, or has stopped.</exception>
    /// <exception cref="MillraceConfigurationException">The type is not an event, or shares its name with another type.</exception>
    /// <exception cref="Kafka.KafkaException">The log refused the record, or did not answer in time.</exception>
    Task PublishAsync<TEvent>(TEvent message, CancellationToken cancellationToken = default)
        where TEvent : notnull => PublishAsync(message, MessageOptions.None, cancellationToken);

    /// <inheritdoc cref="PublishAsync{TEvent}(TEvent, CancellationToken)"/>
    /// <param name="message">The event.</param>
    /// <param name="options">The event's id, its place in a chain, and headers of its own.</param>
    /// <param name="cancellationToken">Stops waiting; the event may be written all the same.</param>
    Task PublishAsync<TEvent>(TEvent message, MessageOptions options, CancellationToken cancellationToken = default)
        where TEvent : notnull;

    /// <summary>Sends a command to the one endpoint that handles it.</summary>
    /// <typeparam name="TCommand">A type with <see cref="CommandAttribute"/>.</typeparam>
    /// <param name="command">The command.</param>
    /// <param name="cancellationToken">Stops waiting; the command may be written all the same.</param>
    /// <exception cref="CommandNotHandledException">The log is embedded, and nobody in the application handles the command.</exception>
    /// <exception cref="MillraceNotRunningException">The host has not started, or has stopped.</exception>
    /// <exception cref="MillraceConfigurationException">The type is not a command, or shares its name with another type.</exception>
    /// <exception cref="Kafka.KafkaException">The log refused the record, or did not answer in time.</exception>
    Task SendAsync<TCommand>(TCommand command, CancellationToken cancellationToken = default)
        where TCommand : notnull => SendAsync(command, MessageOptions.None, cancellationToken);

    /// <inheritdoc cref="SendAsync{TCommand}(TCommand, CancellationToken)"/>
    /// <param name="command">The command.</param>
    /// <param name="options">The command's id, its place in a chain, and headers of its own.</param>
    /// <param name="cancellationToken">Stops waiting; the command may be written all the same.</param>
    Task SendAsync<TCommand>(TCommand command, MessageOptions options, CancellationToken cancellationToken = default)
        where TCommand : notnull;
}
