namespace Millrace;

/// <summary>What a handler answered: nothing, a value, or a refusal.</summary>
/// <param name="Value">The value of a reply; null where there is none.</param>
/// <param name="Rejection">Why the command was refused; null when it was carried out.</param>
internal sealed record HandlerAnswer(object? Value, Rejection? Rejection)
{
    public static HandlerAnswer Nothing { get; } = new(null, null);
}

/// <summary>Calls a handler, with its instance taken from the context's scope.</summary>
internal delegate Task<HandlerAnswer> HandlerInvoker(object message, MessageContext context, CancellationToken cancellationToken);

/// <summary>One message type's handler at one endpoint.</summary>
/// <param name="MessageType">The .NET type of the message.</param>
/// <param name="Name">What a person reads: <c>PaymentHandlers.HandleAsync</c>, or <c>a lambda</c>.</param>
/// <param name="Invoke">Calls the handler.</param>
internal sealed record HandlerDefinition(Type MessageType, string Name, HandlerInvoker Invoke);
