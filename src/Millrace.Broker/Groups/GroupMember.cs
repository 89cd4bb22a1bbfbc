namespace Millrace.Broker;

/// <summary>An assignment strategy that a member offers, with the member's opaque metadata for it.</summary>
internal readonly record struct GroupProtocol(string Name, byte[] Metadata);

/// <summary>A member of a <see cref="ClassicGroup"/>. Only the group changes it.</summary>
internal sealed class GroupMember(string memberId, string clientId, string clientHost, string? instanceId = null)
{
    public string MemberId { get; } = memberId;
    public string ClientId { get; } = clientId;
    public string ClientHost { get; } = clientHost;

    /// <summary>The name of a static member (KIP-345), which comes back under it after a restart; null for all others.</summary>
    public string? InstanceId { get; } = instanceId;

    public TimeSpan SessionTimeout { get; set; }
    public TimeSpan RebalanceTimeout { get; set; }

    private readonly HashSet<string> _protocolNames = new(StringComparer.Ordinal);

    /// <summary>In the member's order of preference.</summary>
    public IReadOnlyList<GroupProtocol> Protocols
    {
        get;
        set
        {
            field = value;
            _protocolNames.Clear();
            _protocolNames.UnionWith(value.Select(static protocol => protocol.Name));
        }
    }

    = [];

    public byte[] Assignment { get; set; } = [];

    /// <summary>Has not yet been told its generation, so that it cannot send heartbeats.</summary>
    public bool IsNew { get; set; }

    /// <summary>Knows its generation and has not asked for its assignment.</summary>
    public bool OwesSync { get; set; }

    /// <summary>The JoinGroup that waits for the join phase to end.</summary>
    public long? ParkedJoin { get; set; }

    /// <summary>The SyncGroup that waits for the leader's assignment.</summary>
    public long? ParkedSync { get; set; }

    /// <summary>When the member is taken for gone. None while it waits for an answer of ours, unless it is new.</summary>
    public TimeSpan? Deadline { get; set; }

    public bool IsParked => ParkedJoin is not null || ParkedSync is not null;

    /// <summary>Set while it is being written that this member has taken the place of another one; its JoinGroup waits for that.</summary>
    public MemberReplacement? Replacement { get; set; }

    public bool Supports(string protocol) => _protocolNames.Contains(protocol);

    public byte[] MetadataFor(string? protocol)
    {
        foreach (GroupProtocol candidate in Protocols)
        {
            if (candidate.Name == protocol)
            {
                return candidate.Metadata;
            }
        }

        return [];
    }

    /// <summary>Whether the offered protocols are the same, in the same order, with the same metadata.</summary>
    public bool Offers(IReadOnlyList<GroupProtocol> protocols)
    {
        if (protocols.Count != Protocols.Count)
        {
            return false;
        }

        for (int index = 0; index < protocols.Count; index++)
        {
            if (protocols[index].Name != Protocols[index].Name ||
                !protocols[index].Metadata.AsSpan().SequenceEqual(Protocols[index].Metadata))
            {
                return false;
            }
        }

        return true;
    }
}
