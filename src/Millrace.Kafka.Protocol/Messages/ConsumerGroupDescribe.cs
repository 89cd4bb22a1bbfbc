namespace Millrace.Kafka.Protocol;

/// <summary>Describes groups of the protocol of KIP-848.</summary>
public sealed class ConsumerGroupDescribeRequest : IRequest<ConsumerGroupDescribeResponse>
{
    public List<string> GroupIds = [];
    public bool IncludeAuthorizedOperations;

    public static ApiDefinition Api { get; } = new(ApiKey.ConsumerGroupDescribe, 0, 1, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.StringArray(ref GroupIds);
        codec.Boolean(ref IncludeAuthorizedOperations);
        codec.Tags();
    }
}

public sealed class ConsumerGroupDescribeResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DescribedConsumerGroup> Groups = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref Groups, version);
        codec.Tags();
    }
}

public sealed class DescribedConsumerGroup : IMessage
{
    public ErrorCode ErrorCode;
    public string? ErrorMessage;
    public string GroupId = "";
    public string GroupState = "";

    /// <summary>Rises whenever members, subscriptions or topics change.</summary>
    public int GroupEpoch;

    /// <summary>The group epoch that the target assignment was made for.</summary>
    public int AssignmentEpoch;

    public string AssignorName = "";
    public List<DescribedConsumerGroupMember> Members = [];

    /// <summary>Bits of operations, or <see cref="int.MinValue"/> when they were not asked for.</summary>
    public int AuthorizedOperations = int.MinValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.NullableString(ref ErrorMessage);
        codec.String(ref GroupId);
        codec.String(ref GroupState);
        codec.Int32(ref GroupEpoch);
        codec.Int32(ref AssignmentEpoch);
        codec.String(ref AssignorName);
        codec.Array(ref Members, version);
        codec.Int32(ref AuthorizedOperations);
        codec.Tags();
    }
}

public sealed class DescribedConsumerGroupMember : IMessage
{
    public string MemberId = "";
    public string? InstanceId;
    public string? RackId;
    public int MemberEpoch;
    public string ClientId = "";
    public string ClientHost = "";
    public List<string> SubscribedTopicNames = [];
    public string? SubscribedTopicRegex;
    public DescribedConsumerGroupAssignment Assignment = new();
    public DescribedConsumerGroupAssignment TargetAssignment = new();

    /// <summary>Version 1 (KIP-1099): -1 unknown, 0 a member of the classic protocol, 1 one of the consumer protocol.</summary>
    public sbyte MemberType = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref MemberId);
        codec.NullableString(ref InstanceId);
        codec.NullableString(ref RackId);
        codec.Int32(ref MemberEpoch);
        codec.String(ref ClientId);
        codec.String(ref ClientHost);
        codec.StringArray(ref SubscribedTopicNames);
        codec.NullableString(ref SubscribedTopicRegex);
        Assignment.Describe(ref codec, version);
        TargetAssignment.Describe(ref codec, version);
        if (version >= 1) codec.Int8(ref MemberType);
        codec.Tags();
    }
}

public sealed class DescribedConsumerGroupAssignment : IMessage
{
    public List<DescribedConsumerGroupTopicPartitions> TopicPartitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref TopicPartitions, version);
        codec.Tags();
    }
}

public sealed class DescribedConsumerGroupTopicPartitions : IMessage
{
    public Guid TopicId;
    public string TopicName = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Uuid(ref TopicId);
        codec.String(ref TopicName);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}
