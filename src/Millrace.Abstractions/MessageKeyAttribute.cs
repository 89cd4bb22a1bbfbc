namespace Millrace;

/// <summary>
/// Marks the property whose value is the message's key. Messages of one key are handled one after the other, in the
/// order in which they were published; different keys are handled in parallel.
/// </summary>
/// <remarks>
/// The property is a <see cref="string"/>, a <see cref="Guid"/> or an integer. On the wire the key is text in UTF-8: a Guid
/// in its 36-character form, an integer in invariant digits, so that programs in other languages can write the same
/// key. A message without this attribute has no key, and no order. On a positional record both
/// <c>[property: MessageKey]</c> and <c>[MessageKey]</c> work.
/// </remarks>
[AttributeUsage(AttributeTargets.Property | AttributeTargets.Parameter)]
public sealed class MessageKeyAttribute : Attribute;
