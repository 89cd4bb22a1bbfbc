namespace Millrace;

/// <summary>A message on its way to the log: everything is decided, nothing is written.</summary>
internal sealed record OutgoingMessage(
    MessageDefinition Definition, byte[]? Key, byte[] Body, Envelope Envelope, IReadOnlyCollection<KeyValuePair<string, string>> Headers);
