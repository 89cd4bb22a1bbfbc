using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>A partition that has just come to this process.</summary>
public sealed class AssignedPartition
{
    private readonly Func<CancellationToken, Task> _confirm;

    internal AssignedPartition(TopicPartition topicPartition, string memberId, Func<CancellationToken, Task> confirm)
    {
        TopicPartition = topicPartition;
        MemberId = memberId;
        _confirm = confirm;
    }

    /// <summary>The partition.</summary>
    public TopicPartition TopicPartition { get; }

    /// <summary>The id that this process has in the group: no other one has it, before or after.</summary>
    public string MemberId { get; }

    /// <summary>
    /// Asks the group's coordinator whether the partition is this process's still, and returns if it is. A process that was cut off, or
    /// slept, learns in no other way that others have taken over: what it read before it asked is all that was there while it was the owner.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="Kafka.KafkaGroupFencedException">It is not, or the group is about to share out its partitions anew.</exception>
    /// <exception cref="Kafka.KafkaException">The coordinator does not answer in time.</exception>
    public Task ConfirmAsync(CancellationToken cancellationToken = default) => _confirm(cancellationToken);
}
