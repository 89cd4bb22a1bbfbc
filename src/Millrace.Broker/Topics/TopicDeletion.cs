using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>The outcome of deleting a topic: one of the two nested records.</summary>
internal abstract record TopicDeletion
{
    private TopicDeletion()
    {
    }

    /// <summary>Its records are gone, for good. Its name is free when <see cref="TopicCatalog.FinishDeletion"/> has been called.</summary>
    internal sealed record Deleted : TopicDeletion;

    /// <summary><paramref name="Message"/> says to a person what happened.</summary>
    internal sealed record Refused(ErrorCode Error, string Message) : TopicDeletion;
}
