namespace Millrace;

/// <summary>
/// Marks a record as an event: a past fact that is broadcast to every endpoint that handles it.
/// </summary>
/// <remarks>
/// The name and the version are the contract, the .NET type is not: a type may be renamed or moved freely. On the wire
/// the two form the CloudEvents <c>type</c>, for example <c>shop.order-created.v1</c>.
/// </remarks>
/// <param name="name">
/// The event's name: letters, digits, <c>.</c>, <c>-</c> and <c>_</c>, for example <c>shop.order-created</c>. The part up
/// to the last dot names the area, and with it the topic.
/// </param>
/// <example><code>
/// [Event("shop.order-created")]
/// public sealed record OrderCreated([property: MessageKey] Guid OrderId, decimal Total);
/// </code></example>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct, Inherited = false)]
public sealed class EventAttribute(string name) : Attribute
{
    /// <summary>The event's name without its version, for example <c>shop.order-created</c>.</summary>
    public string Name { get; } = name;

    /// <summary>The version of the event's shape, from 1. Default: 1.</summary>
    public int Version { get; set; } = 1;

    /// <summary>
    /// The topic that carries the event. Default: the name up to its last dot, followed by <c>.events</c>
    /// (<c>shop.order-created</c> travels on <c>shop.events</c>), so that the events of one area share a topic and the
    /// events of one key keep their order. A name without a dot is its own area.
    /// </summary>
    public string? Topic { get; set; }
}
