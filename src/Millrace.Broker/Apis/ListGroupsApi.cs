using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>ListGroups (16), versions 0-5: every group, or those in some states.</summary>
internal sealed class ListGroupsApi(GroupCoordinator groups) : Api<ListGroupsRequest, ListGroupsResponse>
{
    /// <summary>The protocol that members of this broker's groups speak; the other kinds of KIP-848 and KIP-932 are not here.</summary>
    private const string ClassicType = "classic";

    protected override ValueTask<ListGroupsResponse?> HandleAsync(ListGroupsRequest request, RequestContext context)
    {
        HashSet<string> states = new(request.StatesFilter, StringComparer.OrdinalIgnoreCase);
        bool isTypeAsked = request.TypesFilter.Count == 0 || request.TypesFilter.Contains(ClassicType, StringComparer.OrdinalIgnoreCase);
        ListGroupsResponse response = new();
        if (!isTypeAsked)
        {
            return new(response);
        }

        foreach ((string groupId, GroupDescription group) in groups.List().OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            string state = group.State.ToString();
            if (states.Count == 0 || states.Contains(state))
            {
                response.Groups.Add(new ListedGroup { GroupId = groupId, ProtocolType = group.ProtocolType, GroupState = state, GroupType = ClassicType });
            }
        }

        // Looked at behind the groups: what could not be told of them is not to be taken for their absence.
        response.ErrorCode = groups.IsStopped ? ErrorCode.CoordinatorNotAvailable : ErrorCode.None;
        return new(response);
    }
}
