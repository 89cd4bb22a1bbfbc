using System.Diagnostics.CodeAnalysis;

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
