namespace Millrace;

/// <summary>What a caller may decide about one message; everything has a default.</summary>
public sealed record MessageOptions
{
    /// <summary>All defaults.</summary>
    public static MessageOptions None { get; } = new();

    /// <summary>
    /// The message's id. Default: a new UUID version 7; inside a handler one that follows from the handled message, so
    /// that a handler that runs again writes the same ids. A program that may send a message twice gives it an id of its
    /// own, by which receivers recognise the repetition.
    /// </summary>
    public string? MessageId { get; init; }

    /// <summary>The id that the messages of one chain share. Default: inside a handler the chain's, otherwise the message's own id.</summary>
    public string? CorrelationId { get; init; }

    /// <summary>The id of the message that caused this one. Default: inside a handler the handled message's, otherwise none.</summary>
    public string? CausationId { get; init; }

    /// <summary>Headers of the program's own, as UTF-8 text. Names that begin with <c>ce_</c> are the envelope's. Default: none.</summary>
    public IReadOnlyCollection<KeyValuePair<string, string>> Headers { get; init; } = [];
}
