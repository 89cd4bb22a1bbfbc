using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>The outcome of creating a topic: one of the two nested records.</summary>
internal abstract record TopicCreation
{
    private TopicCreation()
    {
    }

    /// <summary>The topic and all its partitions are on the disk.</summary>
    internal sealed record Created(Topic Topic) : TopicCreation;

    /// <summary>Nothing that a client can see has changed. <paramref name="Message"/> says to a person why.</summary>
    internal sealed record Refused(ErrorCode Error, string Message) : TopicCreation;
}
