namespace Millrace.Kafka;

/// <summary>
/// Whom a quota limits: a user, a client id, both together, or an address. Two are equal if their parts are.
/// </summary>
public sealed class QuotaEntity : IEquatable<QuotaEntity>
{
    /// <summary>The type of a part that is a user.</summary>
    public const string UserType = "user";

    /// <summary>The type of a part that is a client id.</summary>
    public const string ClientIdType = "client-id";

    /// <summary>The type of a part that is an address.</summary>
    public const string IpType = "ip";

    private readonly SortedDictionary<string, string?> _parts;

    /// <summary>An entity of any parts.</summary>
    /// <param name="parts">A name for each type; null is the default of the type, which counts for names without a quota of their own.</param>
    public QuotaEntity(IEnumerable<KeyValuePair<string, string?>> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        _parts = new SortedDictionary<string, string?>(StringComparer.Ordinal);
        foreach ((string type, string? name) in parts)
        {
            _parts[type] = name;
        }

        if (_parts.Count == 0)
        {
            throw new ArgumentException("A quota limits somebody: name a user, a client id or an address.", nameof(parts));
        }
    }

    /// <summary>The name for each type; null is the default of the type.</summary>
    public IReadOnlyDictionary<string, string?> Parts => _parts;

    /// <summary>A user, whatever client ids he uses.</summary>
    /// <param name="name">The user; null: users without a quota of their own.</param>
    public static QuotaEntity User(string? name) => new([new(UserType, name)]);

    /// <summary>A client id, whoever uses it.</summary>
    /// <param name="clientId">The client id; null: client ids without a quota of their own.</param>
    public static QuotaEntity ClientId(string? clientId) => new([new(ClientIdType, clientId)]);

    /// <summary>A client id of a user.</summary>
    /// <param name="user">The user; null: users without a quota of their own.</param>
    /// <param name="clientId">The client id; null: client ids without a quota of their own.</param>
    public static QuotaEntity UserAndClientId(string? user, string? clientId) => new([new(UserType, user), new(ClientIdType, clientId)]);

    /// <summary>An address (KIP-612). From Kafka 2.7 on.</summary>
    /// <param name="address">The address; null: addresses without a quota of their own.</param>
    public static QuotaEntity Ip(string? address) => new([new(IpType, address)]);

    /// <inheritdoc/>
    public bool Equals(QuotaEntity? other) => other is not null && _parts.SequenceEqual(other._parts);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as QuotaEntity);

    /// <inheritdoc/>
    public override int GetHashCode() => string.GetHashCode(ToString(), StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => string.Join(", ", _parts.Select(part => part.Value is null ? $"default {part.Key}" : $"{part.Key} '{part.Value}'"));
}

/// <summary>The quotas of an entity.</summary>
/// <param name="Entity">Whom they limit.</param>
/// <param name="Values">
/// Each quota by Kafka's name: <c>producer_byte_rate</c> and <c>consumer_byte_rate</c> in bytes a second, <c>request_percentage</c> in percent
/// of one thread, <c>controller_mutation_rate</c> and <c>connection_creation_rate</c> a second.
/// </param>
public sealed record ClientQuota(QuotaEntity Entity, IReadOnlyDictionary<string, double> Values);

/// <summary>Which quotas are meant.</summary>
public sealed record QuotaFilter
{
    /// <summary>
    /// What an entity must have: for each type its name. The name null is the default of the type. Default empty: nothing.
    /// </summary>
    public IReadOnlyDictionary<string, string?> Names { get; init; } = new Dictionary<string, string?>();

    /// <summary>The types that an entity must have, whatever the name. Default none.</summary>
    public IReadOnlyCollection<string> AnyNameOf { get; init; } = [];

    /// <summary>Whether an entity may have no other types than those named here. Default false.</summary>
    public bool IsStrict { get; init; }
}
