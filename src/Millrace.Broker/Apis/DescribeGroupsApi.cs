using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DescribeGroups (15), versions 0-6: who is in a group, and what each was assigned.</summary>
internal sealed class DescribeGroupsApi(GroupCoordinator groups) : Api<DescribeGroupsRequest, DescribeGroupsResponse>
{
    /// <summary>From here on a group that does not exist is an error; before, it is a group in the state Dead.</summary>
    private const int GroupIdNotFoundVersion = 6;

    protected override ValueTask<DescribeGroupsResponse?> HandleAsync(DescribeGroupsRequest request, RequestContext context)
    {
        DescribeGroupsResponse response = new();
        foreach (string groupId in request.Groups.Distinct(StringComparer.Ordinal))
        {
            DescribedGroup described = Describe(groupId, context.Version);
            if (request.IncludeAuthorizedOperations && described.ErrorCode == ErrorCode.None)
            {
                described.AuthorizedOperations = AuthorizedOperations.Group;
            }

            response.Groups.Add(described);
        }

        return new(response);
    }

    private DescribedGroup Describe(string groupId, short version)
    {
        GroupDescription? description = groups.Describe(groupId);
        if (description is null && groups.IsUnavailable(groupId))
        {
            return new DescribedGroup { GroupId = groupId, ErrorCode = ErrorCode.CoordinatorNotAvailable };
        }

        if (description is not { } group)
        {
            DescribedGroup missing = new() { GroupId = groupId, GroupState = nameof(GroupState.Dead) };
            if (version >= GroupIdNotFoundVersion)
            {
                missing.ErrorCode = ErrorCode.GroupIdNotFound;
                missing.ErrorMessage = $"There is no group '{groupId}'.";
            }

            return missing;
        }

        return new DescribedGroup
        {
            GroupId = groupId,
            GroupState = group.State.ToString(),
            ProtocolType = group.ProtocolType,
            ProtocolData = group.ProtocolName,
            Members = [.. group.Members.Select(Describe)],
        };
    }

    private static DescribedGroupMember Describe(DescribedMember member) => new()
    {
        MemberId = member.MemberId,
        GroupInstanceId = member.InstanceId,
        ClientId = member.ClientId,
        ClientHost = member.ClientHost,
        MemberMetadata = member.Metadata,
        MemberAssignment = member.Assignment,
    };
}
