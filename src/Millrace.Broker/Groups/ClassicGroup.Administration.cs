using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

// What operators ask of a group.
internal sealed partial class ClassicGroup
{
    private const string ConsumerProtocolType = "consumer";

    /// <summary>The kind of group: "consumer" for consumers. Empty until somebody joins.</summary>
    public string ProtocolType => _protocolType;

    private bool IsOfConsumers => _protocolType == ConsumerProtocolType;

    /// <summary>
    /// Whether single offsets may be deleted: members that are not consumers say nothing about what they read, so that nothing may go while they are here.
    /// </summary>
    public bool AllowsDeletionOfOffsets => State == GroupState.Empty || IsOfConsumers;

    public GroupDescription Describe()
    {
        bool isStable = State == GroupState.Stable;
        List<DescribedMember> members = new(_members.Count);
        foreach (GroupMember member in _members.Values)
        {
            members.Add(new DescribedMember(
                member.MemberId,
                member.InstanceId,
                member.ClientId,
                member.ClientHost,
                isStable ? member.MetadataFor(_protocolName) : [],
                isStable ? member.Assignment : []));
        }

        return new GroupDescription(State, _protocolType, isStable ? _protocolName ?? "" : "", members);
    }

    /// <summary>Whether a member reads the topic. Where consumers are here and cannot be understood, every topic counts as read.</summary>
    public bool IsSubscribedTo(string topic) => SubscribedTopics() is { } topics ? topics.Contains(topic) : IsOfConsumers;

    /// <summary>What the members read, by their own metadata; null where that is not known.</summary>
    public HashSet<string>? SubscribedTopics()
    {
        if (!IsOfConsumers)
        {
            return null;
        }

        HashSet<string> topics = new(StringComparer.Ordinal);
        foreach (GroupMember member in _members.Values)
        {
            if (!ConsumerProtocolSubscription.TryRead(member.MetadataFor(_protocolName), out ConsumerProtocolSubscription? subscription, out _))
            {
                return null;
            }

            topics.UnionWith(subscription.Topics);
        }

        return topics;
    }
}
