using Millrace.Kafka;

namespace Millrace;

/// <summary>
/// What a record came to, and what must be durable before it counts as done. While the writing fails it is tried again
/// by itself: the handler has run, or is not to run any more.
/// </summary>
/// <param name="IsDeadLetter">Whether the record was given up; otherwise it was handled.</param>
/// <param name="Letter">The dead letter, which is written first; null once it is, and for a record that was handled.</param>
/// <param name="Messages">What is written then, in this order: the handler's messages and the reply.</param>
/// <param name="FailedWriteCount">How often the writing has failed.</param>
internal sealed record Conclusion(bool IsDeadLetter, ProducerRecord? Letter, IReadOnlyList<OutgoingMessage> Messages, int FailedWriteCount = 0)
{
    public static Conclusion Handled(IReadOnlyList<OutgoingMessage> messages) => new(IsDeadLetter: false, Letter: null, messages);

    public static Conclusion GivenUp(ProducerRecord letter, IReadOnlyList<OutgoingMessage> messages) => new(IsDeadLetter: true, letter, messages);
}
