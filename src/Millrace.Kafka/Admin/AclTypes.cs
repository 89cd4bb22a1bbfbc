namespace Millrace.Kafka;

/// <summary>What an entry of the access control list is about.</summary>
public enum AclResourceType : sbyte
{
    /// <summary>Anything. Only in filters.</summary>
    Any = 1,

    /// <summary>A topic.</summary>
    Topic = 2,

    /// <summary>A group.</summary>
    Group = 3,

    /// <summary>The cluster, whose name is <c>kafka-cluster</c>.</summary>
    Cluster = 4,

    /// <summary>A transactional id.</summary>
    TransactionalId = 5,

    /// <summary>A delegation token.</summary>
    DelegationToken = 6,

    /// <summary>A user.</summary>
    User = 7,
}

/// <summary>How the name of an entry is meant.</summary>
public enum AclPatternType : sbyte
{
    /// <summary>Whatever an entry has. Only in filters.</summary>
    Any = 1,

    /// <summary>Entries that apply to this name: literal, prefixed and with <c>*</c>. Only in filters.</summary>
    Match = 2,

    /// <summary>This name; <c>*</c> is all names.</summary>
    Literal = 3,

    /// <summary>Names that begin so.</summary>
    Prefixed = 4,
}

/// <summary>What an entry lets do, or forbids.</summary>
public enum AclOperation : sbyte
{
    /// <summary>Any. Only in filters.</summary>
    Any = 1,

    /// <summary>Everything.</summary>
    All = 2,

    /// <summary>Read records; join and commit in a group.</summary>
    Read = 3,

    /// <summary>Write records.</summary>
    Write = 4,

    /// <summary>Create.</summary>
    Create = 5,

    /// <summary>Delete.</summary>
    Delete = 6,

    /// <summary>Alter.</summary>
    Alter = 7,

    /// <summary>Describe.</summary>
    Describe = 8,

    /// <summary>What brokers do among each other.</summary>
    ClusterAction = 9,

    /// <summary>Describe settings.</summary>
    DescribeConfigs = 10,

    /// <summary>Alter settings.</summary>
    AlterConfigs = 11,

    /// <summary>Write as an idempotent producer.</summary>
    IdempotentWrite = 12,

    /// <summary>Create delegation tokens.</summary>
    CreateTokens = 13,

    /// <summary>Describe delegation tokens.</summary>
    DescribeTokens = 14,

    /// <summary>Commit transactions in two phases (KIP-939).</summary>
    TwoPhaseCommit = 15,
}

/// <summary>Whether an entry allows or forbids.</summary>
public enum AclPermission : sbyte
{
    /// <summary>Either. Only in filters.</summary>
    Any = 1,

    /// <summary>Forbids, whatever else allows.</summary>
    Deny = 2,

    /// <summary>Allows.</summary>
    Allow = 3,
}

/// <summary>An entry of the access control list.</summary>
/// <param name="ResourceType">What it is about.</param>
/// <param name="ResourceName">The name of that.</param>
/// <param name="Principal">Who: <c>User:alice</c>; <c>User:*</c> is everybody.</param>
/// <param name="Operation">What they may or may not do.</param>
/// <param name="Permission">Whether they may.</param>
public sealed record AclBinding(
    AclResourceType ResourceType, string ResourceName, string Principal, AclOperation Operation, AclPermission Permission)
{
    /// <summary>How the name is meant. Default this name and no other.</summary>
    public AclPatternType PatternType { get; init; } = AclPatternType.Literal;

    /// <summary>From which address. Default <c>*</c>: from any.</summary>
    public string Host { get; init; } = "*";

    /// <inheritdoc/>
    public override string ToString() =>
        $"{Permission} {Principal} from {Host} to {Operation} {ResourceType} '{ResourceName}'{(PatternType == AclPatternType.Prefixed ? " and what begins so" : "")}";
}

/// <summary>Which entries of the access control list are meant; what is left out matches all.</summary>
public sealed record AclFilter
{
    /// <summary>What they are about. Default anything.</summary>
    public AclResourceType ResourceType { get; init; } = AclResourceType.Any;

    /// <summary>The name of that. Default null: any.</summary>
    public string? ResourceName { get; init; }

    /// <summary>How the name is meant. Default as an entry has it.</summary>
    public AclPatternType PatternType { get; init; } = AclPatternType.Any;

    /// <summary>Who. Default null: anybody.</summary>
    public string? Principal { get; init; }

    /// <summary>From which address. Default null: any.</summary>
    public string? Host { get; init; }

    /// <summary>What they may or may not do. Default any.</summary>
    public AclOperation Operation { get; init; } = AclOperation.Any;

    /// <summary>Whether they may. Default either.</summary>
    public AclPermission Permission { get; init; } = AclPermission.Any;
}
