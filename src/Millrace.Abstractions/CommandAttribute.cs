namespace Millrace;

/// <summary>
/// Marks a record as a command: a request that exactly one endpoint handles, and may refuse.
/// </summary>
/// <remarks>
/// The name and the version are the contract, the .NET type is not. On the wire the two form the CloudEvents
/// <c>type</c>, for example <c>payment.charge.v1</c>.
/// </remarks>
/// <param name="name">
/// The command's name: letters, digits, <c>.</c>, <c>-</c> and <c>_</c>, for example <c>payment.charge</c>. The part up to
/// the last dot names the area, and with it the topic.
/// </param>
/// <example><code>
/// [Command("payment.charge")]
/// public sealed record ChargePayment([property: MessageKey] Guid OrderId, decimal Amount) : ICommand&lt;PaymentReceipt&gt;;
/// </code></example>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct, Inherited = false)]
public sealed class CommandAttribute(string name) : Attribute
{
    /// <summary>The command's name without its version, for example <c>payment.charge</c>.</summary>
    public string Name { get; } = name;

    /// <summary>The version of the command's shape, from 1. Default: 1.</summary>
    public int Version { get; set; } = 1;

    /// <summary>
    /// The topic that carries the command. Default: the name up to its last dot, followed by <c>.commands</c>
    /// (<c>payment.charge</c> travels on <c>payment.commands</c>), so that a command and the one that undoes it share a
    /// topic, and with the same key keep their order. A name without a dot is its own area.
    /// </summary>
    public string? Topic { get; set; }
}
