using Millrace.Kafka.Protocol;

namespace Millrace.Tests;

/// <summary>Visits a message and changes the names of topics, groups and transactional ids in it.</summary>
internal sealed class NameRewriter(bool isFlexible, Func<string, string> change) : IMessageCodec
{
    private const sbyte TopicResource = 2;

    private readonly Stack<IMessage> _path = new();

    public bool IsFlexible => isFlexible;

    public void Visit(IMessage message, short version)
    {
        _path.Push(message);
        NameRewriter self = this;
        message.Describe(ref self, version);
        _path.Pop();
    }

    public void Boolean(ref bool value, string name = "")
    {
        // No name.
    }

    public void Int8(ref sbyte value, string name = "")
    {
        // No name.
    }

    public void Int16(ref short value, string name = "")
    {
        // No name.
    }

    public void Int32(ref int value, string name = "")
    {
        // No name.
    }

    public void Int64(ref long value, string name = "")
    {
        // No name.
    }

    public void Float64(ref double value, string name = "")
    {
        // No name.
    }

    public void Uuid(ref Guid value, string name = "")
    {
        // No name.
    }

    public void Error(ref ErrorCode value, string name = "")
    {
        // No name.
    }

    public void Key(ref ApiKey value, string name = "")
    {
        // No name.
    }

    public void String(ref string value, string name = "")
    {
        if (value is { Length: > 0 } && IsName(name))
        {
            value = change(value);
        }
    }

    public void NullableString(ref string? value, string name = "")
    {
        if (value is { Length: > 0 } && IsName(name))
        {
            value = change(value);
        }
    }

    public void Bytes(ref byte[] value, string name = "") => value = ChangeMembership(value, name);

    public void NullableBytes(ref byte[]? value, string name = "")
    {
        if (value is not null)
        {
            value = ChangeMembership(value, name);
        }
    }

    public void Records(ref ReadOnlyMemory<byte>? value, string name = "")
    {
        // No name.
    }

    public void Detached(DetachedRecords records)
    {
        // No name.
    }

    public void Int32Array(ref List<int> items, string name = "")
    {
        // No name.
    }

    public void NullableInt32Array(ref List<int>? items, string name = "")
    {
        // No name.
    }

    public void Int64Array(ref List<long> items, string name = "")
    {
        // No name.
    }

    public void StringArray(ref List<string> items, string name = "")
    {
        if (IsListOfNames(name))
        {
            items = [.. items.Select(change)];
        }
    }

    public void NullableStringArray(ref List<string>? items, string name = "")
    {
        if (items is not null && IsListOfNames(name))
        {
            items = [.. items.Select(change)];
        }
    }

    public void Array<T>(ref List<T> items, short version, string name = "")
        where T : class, IMessage, new() => items?.ForEach(item => Visit(item, version));

    public void NullableArray<T>(ref List<T>? items, short version, string name = "")
        where T : class, IMessage, new() => items?.ForEach(item => Visit(item, version));

    public void Tags()
    {
        // None that is known.
    }

    public void Tags<T>(T message, short version)
        where T : class, ITaggedMessage
    {
        NameRewriter self = this;
        message.DescribeTags(ref self, version);
    }

    public bool BeginTag(int tag, bool isSet, out int mark)
    {
        mark = 0;
        return isSet;
    }

    public void EndTag(int mark)
    {
        // Nothing is measured.
    }

    private bool IsName(string field)
    {
        string message = _path.Peek().GetType().Name;
        return field.TrimEnd('!') switch
        {
            "Topic" or "TopicName" or "TransactionalIdPattern" => true,
            "Name" => message.Contains("Topic", StringComparison.Ordinal) && !message.Contains("Config", StringComparison.Ordinal),
            "GroupId" or "TransactionalId" => true,
            "Key" => message is "FindCoordinatorRequest" or "Coordinator",
            "ResourceName" => _path.Peek().GetType().GetField("ResourceType")?.GetValue(_path.Peek()) is TopicResource,
            _ => false,
        };
    }

    /// <summary>What members of a consumer group subscribe to and are assigned. Brokers keep it, and read it when they are asked about a group.</summary>
    private byte[] ChangeMembership(byte[] value, string field) => (_path.Peek().GetType().Name, field) switch
    {
        ("JoinGroupProtocol" or "JoinGroupMember", "Metadata") or ("DescribedGroupMember", "MemberMetadata") => ChangeData<ConsumerProtocolSubscription>(value),
        ("SyncGroupAssignment", "Assignment") or ("SyncGroupResponse", "assignment") or ("DescribedGroupMember", "MemberAssignment") => ChangeData<ConsumerProtocolAssignment>(value),
        _ => value,
    };

    private byte[] ChangeData<TData>(byte[] value)
        where TData : class, IVersionedData, new()
    {
        if (!MessageCodec.TryReadDataVersion(value, out short version) || version > TData.MaxVersion
            || !MessageCodec.TryReadData(value, acceptNewer: false, out TData? data, out _))
        {
            return value;
        }

        Visit(data, version);
        return MessageCodec.WriteData(data, version);
    }

    private static bool IsListOfNames(string field) => field is "TopicNames" or "SubscribedTopicNames" or "Topics" or "GroupIds" or "GroupsNames" or "Groups"
        or "CoordinatorKeys" or "TransactionalIds";
}
