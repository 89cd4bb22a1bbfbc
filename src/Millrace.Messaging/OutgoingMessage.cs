namespace Millrace;

/// <summary>A message on its way to the log: everything is decided, nothing is written.</summary>
/// <remarks>
/// For packages that build on messaging. System.Text.Json writes it and reads it back as it was, so that it may wait in a
/// database until it is written.
/// </remarks>
/// <param name="Topic">The topic that it goes to.</param>
/// <param name="Key">The record's key as text, in UTF-8 on the wire; null for a message without order.</param>
/// <param name="Body">The record's value.</param>
/// <param name="Envelope">Its id, its type and its place in a chain.</param>
/// <param name="Headers">Further headers, as UTF-8 text.</param>
public sealed record OutgoingMessage(
    string Topic, string? Key, byte[] Body, Envelope Envelope, IReadOnlyCollection<KeyValuePair<string, string>> Headers);
