using System.Security.Cryptography;
using System.Text;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <content>Who may do what, and how much of it: access control, quotas, SCRAM users.</content>
public sealed partial class KafkaAdmin
{
    private const int SaltByteCount = 24;

    /// <summary>Adds entries to the access control list.</summary>
    /// <param name="entries">The entries.</param>
    /// <param name="cancellationToken">Ends the wait; entries may still be added.</param>
    /// <returns>What became of each entry; all fail with <see cref="ErrorCode.SecurityDisabled"/> where brokers have no authorizer.</returns>
    public Task<IReadOnlyDictionary<AclBinding, AdminResult>> CreateAclsAsync(
        IReadOnlyCollection<AclBinding> entries, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(entries);
        return _calls.EachDoneAsync<AclBinding>(
            ApiKey.CreateAcls,
            entries,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                CreateAclsResponse response = await _calls.SendAsync<CreateAclsRequest, CreateAclsResponse>(
                    controller,
                    new CreateAclsRequest { Creations = [.. round.Open.Select(ToCreation)] },
                    token,
                    round.Open.Max(static entry => LowestAclVersion(entry.PatternType, entry.ResourceType)));

                // In the order of the request, and named by it alone.
                foreach ((AclBinding entry, AclCreationResult result) in round.Open.Zip(response.Results))
                {
                    Conclude(round, entry, result.ErrorCode, result.ErrorMessage, controller, ApiKey.CreateAcls);
                }
            },
            cancellationToken);
    }

    /// <summary>Lists entries of the access control list.</summary>
    /// <param name="filter">Which ones; null: all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker answers in time, or it refuses: with <see cref="ErrorCode.SecurityDisabled"/> where it has no authorizer.</exception>
    public Task<IReadOnlyList<AclBinding>> DescribeAclsAsync(AclFilter? filter = null, CancellationToken cancellationToken = default)
    {
        filter ??= new AclFilter();
        return _calls.OneAsync<IReadOnlyList<AclBinding>>(
            ApiKey.DescribeAcls,
            async token =>
            {
                BrokerConnection broker = await _calls.AnyAsync(token);
                var request = new DescribeAclsRequest
                {
                    ResourceTypeFilter = (sbyte)filter.ResourceType,
                    ResourceNameFilter = filter.ResourceName,
                    PatternTypeFilter = (sbyte)filter.PatternType,
                    PrincipalFilter = filter.Principal,
                    HostFilter = filter.Host,
                    Operation = (sbyte)filter.Operation,
                    PermissionType = (sbyte)filter.Permission,
                };
                DescribeAclsResponse response = await _calls.SendAsync<DescribeAclsRequest, DescribeAclsResponse>(
                    broker, request, token, LowestAclVersion(filter));
                ThrowOn(response.ErrorCode, response.ErrorMessage, broker, ApiKey.DescribeAcls);
                return
                [
                    .. response.Resources.SelectMany(resource => resource.Acls.Select(acl => ToBinding(
                        resource.ResourceType, resource.ResourceName, resource.PatternType, acl.Principal, acl.Host, acl.Operation, acl.PermissionType))),
                ];
            },
            cancellationToken);
    }

    /// <summary>Removes entries from the access control list.</summary>
    /// <param name="filters">Which ones.</param>
    /// <param name="cancellationToken">Ends the wait; entries may still be removed.</param>
    /// <returns>For each filter the entries that it has met, and what became of each.</returns>
    public Task<IReadOnlyDictionary<AclFilter, AdminResult<IReadOnlyDictionary<AclBinding, AdminResult>>>> DeleteAclsAsync(
        IReadOnlyCollection<AclFilter> filters, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(filters);
        return _calls.EachAsync<AclFilter, IReadOnlyDictionary<AclBinding, AdminResult>>(
            ApiKey.DeleteAcls,
            filters,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                DeleteAclsResponse response = await _calls.SendAsync<DeleteAclsRequest, DeleteAclsResponse>(
                    controller, new DeleteAclsRequest { Filters = [.. round.Open.Select(ToFilter)] }, token, round.Open.Max(LowestAclVersion));
                foreach ((AclFilter filter, DeleteAclsFilterResult result) in round.Open.Zip(response.FilterResults))
                {
                    if (round.FailOn(result.ErrorCode, filter, result.ErrorMessage, controller, ApiKey.DeleteAcls))
                    {
                        continue;
                    }

                    var met = new Dictionary<AclBinding, AdminResult>();
                    foreach (DeletedAcl acl in result.MatchingAcls)
                    {
                        AclBinding entry = ToBinding(
                            acl.ResourceType, acl.ResourceName, acl.PatternType, acl.Principal, acl.Host, acl.Operation, acl.PermissionType);
                        met[entry] = new AdminResult(acl.ErrorCode == ErrorCode.None
                            ? null
                            : AdminErrors.Of(acl.ErrorCode, $"{controller.Address} answered DeleteAcls for {entry}", acl.ErrorMessage));
                    }

                    round.Succeed(filter, met);
                }
            },
            cancellationToken);
    }

    /// <summary>Lists the quotas of users, client ids and addresses. From Kafka 2.6 on.</summary>
    /// <param name="filter">Which ones; null: all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="KafkaException">No broker answers in time, or it refuses.</exception>
    public Task<IReadOnlyList<ClientQuota>> DescribeClientQuotasAsync(QuotaFilter? filter = null, CancellationToken cancellationToken = default)
    {
        const sbyte byName = 0;
        const sbyte byDefault = 1;
        const sbyte byAnyName = 2;
        filter ??= new QuotaFilter();
        return _calls.OneAsync<IReadOnlyList<ClientQuota>>(
            ApiKey.DescribeClientQuotas,
            async token =>
            {
                BrokerConnection broker = await _calls.AnyAsync(token);
                var request = new DescribeClientQuotasRequest
                {
                    Strict = filter.IsStrict,
                    Components =
                    [
                        .. filter.Names.Select(part => new ClientQuotaFilterComponent
                        {
                            EntityType = part.Key, MatchType = part.Value is null ? byDefault : byName, Match = part.Value,
                        }),
                        .. filter.AnyNameOf.Select(type => new ClientQuotaFilterComponent { EntityType = type, MatchType = byAnyName, Match = null }),
                    ],
                };
                DescribeClientQuotasResponse response = await _calls.SendAsync<DescribeClientQuotasRequest, DescribeClientQuotasResponse>(broker, request, token);
                ThrowOn(response.ErrorCode, response.ErrorMessage, broker, ApiKey.DescribeClientQuotas);
                return
                [
                    .. (response.Entries ?? []).Where(entry => entry.Entity.Count > 0).Select(entry =>
                        new ClientQuota(ToEntity(entry.Entity), entry.Values.ToDictionary(value => value.Key, value => value.Value))),
                ];
            },
            cancellationToken);
    }

    /// <summary>Sets and removes quotas. From Kafka 2.6 on.</summary>
    /// <param name="changes">For each entity the quotas to set by Kafka's names (<see cref="ClientQuota.Values"/>); null removes one.</param>
    /// <param name="validateOnly">Whether everything is checked and nothing changed.</param>
    /// <param name="cancellationToken">Ends the wait; the changes may still be made.</param>
    public Task<IReadOnlyDictionary<QuotaEntity, AdminResult>> AlterClientQuotasAsync(
        IReadOnlyDictionary<QuotaEntity, IReadOnlyDictionary<string, double?>> changes,
        bool validateOnly = false,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(changes);
        return _calls.EachDoneAsync<QuotaEntity>(
            ApiKey.AlterClientQuotas,
            changes.Keys,
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                var request = new AlterClientQuotasRequest
                {
                    ValidateOnly = validateOnly,
                    Entries =
                    [
                        .. round.Open.Select(entity => new AlterClientQuotasEntry
                        {
                            Entity = [.. entity.Parts.Select(part => new ClientQuotaEntityPart { EntityType = part.Key, EntityName = part.Value })],
                            Ops =
                            [
                                .. changes[entity].Select(change => new ClientQuotaOperation
                                {
                                    Key = change.Key, Value = change.Value ?? 0, Remove = change.Value is null,
                                }),
                            ],
                        }),
                    ],
                };
                AlterClientQuotasResponse response = await _calls.SendAsync<AlterClientQuotasRequest, AlterClientQuotasResponse>(controller, request, token);
                foreach (AlterClientQuotasResult result in response.Entries.Where(result => result.Entity.Count > 0))
                {
                    Conclude(round, ToEntity(result.Entity), result.ErrorCode, result.ErrorMessage, controller, ApiKey.AlterClientQuotas);
                }
            },
            cancellationToken);
    }

    /// <summary>Describes which SCRAM credentials users have. From Kafka 2.7 on.</summary>
    /// <param name="users">The users; null: all that have one.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Each user's credentials; a user without any fails with <see cref="ErrorCode.ResourceNotFound"/>.</returns>
    /// <exception cref="KafkaException">No broker answers in time, or it refuses.</exception>
    public Task<IReadOnlyDictionary<string, AdminResult<IReadOnlyList<ScramCredential>>>> DescribeUserScramCredentialsAsync(
        IReadOnlyCollection<string>? users = null, CancellationToken cancellationToken = default) =>
        _calls.OneAsync<IReadOnlyDictionary<string, AdminResult<IReadOnlyList<ScramCredential>>>>(
            ApiKey.DescribeUserScramCredentials,
            async token =>
            {
                BrokerConnection broker = await _calls.AnyAsync(token);
                var request = new DescribeUserScramCredentialsRequest { Users = users?.Distinct().Select(user => new ScramUserName { Name = user }).ToList() };
                DescribeUserScramCredentialsResponse response =
                    await _calls.SendAsync<DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse>(broker, request, token);
                ThrowOn(response.ErrorCode, response.ErrorMessage, broker, ApiKey.DescribeUserScramCredentials);
                return response.Results.ToDictionary(
                    result => result.User,
                    result => result.ErrorCode == ErrorCode.None
                        ? new AdminResult<IReadOnlyList<ScramCredential>>(
                            [.. result.CredentialInfos.Select(info => new ScramCredential((ScramMechanism)info.Mechanism, info.Iterations))])
                        : new AdminResult<IReadOnlyList<ScramCredential>>(AdminErrors.Of(
                            result.ErrorCode, $"{broker.Address} answered DescribeUserScramCredentials for '{result.User}'", result.ErrorMessage)));
            },
            cancellationToken);

    /// <summary>Sets and removes SCRAM credentials of users. From Kafka 2.7 on.</summary>
    /// <param name="changes">The changes; a user's are made together or not at all.</param>
    /// <param name="cancellationToken">Ends the wait; the changes may still be made.</param>
    /// <returns>What became of each user.</returns>
    public Task<IReadOnlyDictionary<string, AdminResult>> AlterUserScramCredentialsAsync(
        IReadOnlyCollection<ScramCredentialChange> changes, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(changes);
        ILookup<string, ScramCredentialChange> byUser = changes.ToLookup(change => change.User);
        return _calls.EachDoneAsync<string>(
            ApiKey.AlterUserScramCredentials,
            byUser.Select(user => user.Key),
            async (round, token) =>
            {
                BrokerConnection controller = await _calls.ControllerAsync(token);
                ScramCredentialChange[] open = [.. round.Open.SelectMany(user => byUser[user])];
                var request = new AlterUserScramCredentialsRequest
                {
                    Deletions =
                    [
                        .. open.Where(change => change.Password is null)
                            .Select(change => new ScramCredentialDeletion { Name = change.User, Mechanism = (sbyte)change.Mechanism }),
                    ],
                    Upsertions = [.. open.Where(change => change.Password is not null).Select(ToUpsertion)],
                };
                AlterUserScramCredentialsResponse response =
                    await _calls.SendAsync<AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse>(controller, request, token);
                foreach (AlterUserScramCredentialsResult result in response.Results)
                {
                    Conclude(round, result.User, result.ErrorCode, result.ErrorMessage, controller, ApiKey.AlterUserScramCredentials);
                }
            },
            cancellationToken);
    }

    private static ScramCredentialUpsertion ToUpsertion(ScramCredentialChange change)
    {
        // A salt of its own for each credential; the broker keeps what is derived from both (RFC 5802).
        byte[] salt = RandomNumberGenerator.GetBytes(SaltByteCount);
        (HashAlgorithmName hash, int byteCount) = change.Mechanism == ScramMechanism.Sha512
            ? (HashAlgorithmName.SHA512, SHA512.HashSizeInBytes)
            : (HashAlgorithmName.SHA256, SHA256.HashSizeInBytes);
        return new ScramCredentialUpsertion
        {
            Name = change.User,
            Mechanism = (sbyte)change.Mechanism,
            Iterations = change.Iterations,
            Salt = salt,
            SaltedPassword = Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(change.Password!), salt, change.Iterations, hash, byteCount),
        };
    }

    /// <summary>Version 0 means literal names whatever is said, and would do more than was asked; users came with version 3.</summary>
    private static short LowestAclVersion(AclPatternType pattern, AclResourceType type) =>
        type == AclResourceType.User ? (short)3 : pattern == AclPatternType.Literal ? (short)0 : (short)1;

    private static short LowestAclVersion(AclFilter filter) => LowestAclVersion(filter.PatternType, filter.ResourceType);

    private static AclCreation ToCreation(AclBinding entry) => new()
    {
        ResourceType = (sbyte)entry.ResourceType,
        ResourceName = entry.ResourceName,
        ResourcePatternType = (sbyte)entry.PatternType,
        Principal = entry.Principal,
        Host = entry.Host,
        Operation = (sbyte)entry.Operation,
        PermissionType = (sbyte)entry.Permission,
    };

    private static DeleteAclsFilter ToFilter(AclFilter filter) => new()
    {
        ResourceTypeFilter = (sbyte)filter.ResourceType,
        ResourceNameFilter = filter.ResourceName,
        PatternTypeFilter = (sbyte)filter.PatternType,
        PrincipalFilter = filter.Principal,
        HostFilter = filter.Host,
        Operation = (sbyte)filter.Operation,
        PermissionType = (sbyte)filter.Permission,
    };

    private static AclBinding ToBinding(
        sbyte resourceType, string resourceName, sbyte patternType, string principal, string host, sbyte operation, sbyte permission) =>
        new((AclResourceType)resourceType, resourceName, principal, (AclOperation)operation, (AclPermission)permission)
        {
            PatternType = (AclPatternType)patternType, Host = host,
        };

    private static QuotaEntity ToEntity(List<ClientQuotaEntityPart> parts) =>
        new(parts.Select(part => new KeyValuePair<string, string?>(part.EntityType, part.EntityName)));
}
