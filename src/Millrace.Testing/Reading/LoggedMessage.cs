using Millrace.Kafka.Records;

namespace Millrace.Testing;

/// <summary>A message as it stands in the log.</summary>
/// <typeparam name="T">The message's type.</typeparam>
/// <param name="Message">The message.</param>
/// <param name="MessageId">Its id.</param>
/// <param name="Key">Its key; null when it has none.</param>
/// <param name="CorrelationId">The id that every message of its chain shares.</param>
/// <param name="CausationId">The id of the message whose handling wrote it; null when none did.</param>
/// <param name="Time">When it was written, by the application's clock.</param>
/// <param name="Headers">All headers of its record, the envelope's included; of one that is repeated, the last.</param>
/// <param name="TopicPartition">Where it stands.</param>
/// <param name="Offset">Where it stands in its partition.</param>
public sealed record LoggedMessage<T>(
    T Message,
    string MessageId,
    string? Key,
    string CorrelationId,
    string? CausationId,
    DateTimeOffset Time,
    IReadOnlyDictionary<string, string> Headers,
    TopicPartition TopicPartition,
    Offset Offset);

/// <summary>A message that an endpoint gave up on, as it stands in the endpoint's dead-letter topic.</summary>
/// <param name="MessageId">The message's id.</param>
/// <param name="Type">The message's type with its version; null when it had none.</param>
/// <param name="Key">The message's key; null when it had none.</param>
/// <param name="Body">The message's body as text.</param>
/// <param name="ErrorType">The type of the exception that the last attempt ended with.</param>
/// <param name="ErrorMessage">Its message.</param>
/// <param name="Attempts">How often the message was tried.</param>
/// <param name="Headers">All headers of the dead letter, the original's included; of one that is repeated, the last.</param>
public sealed record LoggedDeadLetter(
    string MessageId,
    string? Type,
    string? Key,
    string Body,
    string? ErrorType,
    string? ErrorMessage,
    int Attempts,
    IReadOnlyDictionary<string, string> Headers);
