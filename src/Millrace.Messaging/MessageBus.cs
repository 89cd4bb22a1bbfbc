namespace Millrace;

/// <summary>The bus outside of handlers: every message starts a chain.</summary>
internal sealed class MessageBus(MessagePublisher publisher) : IMessageBus
{
    public Task PublishAsync<TEvent>(TEvent message, MessageOptions options, CancellationToken cancellationToken = default)
        where TEvent : notnull => publisher.PublishAsync(MessageKind.Event, message, options, cancellationToken);

    public Task SendAsync<TCommand>(TCommand command, MessageOptions options, CancellationToken cancellationToken = default)
        where TCommand : notnull => publisher.PublishAsync(MessageKind.Command, command, options, cancellationToken);
}
