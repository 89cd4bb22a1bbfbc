using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>LeaveGroup (13), versions 0-5: one member up to version 2, several from version 3.</summary>
internal sealed class LeaveGroupApi(GroupCoordinator groups) : Api<LeaveGroupRequest, LeaveGroupResponse>
{
    private const int BatchedVersion = 3;

    protected override ValueTask<LeaveGroupResponse?> HandleAsync(LeaveGroupRequest request, RequestContext context)
    {
        if (GroupRequests.Refusal(request.GroupId, groupInstanceId: null) is ErrorCode refusal)
        {
            return new(new LeaveGroupResponse { ErrorCode = refusal });
        }

        if (context.Version < BatchedVersion)
        {
            return new(new LeaveGroupResponse { ErrorCode = groups.Leave(request.GroupId, [request.MemberId])[0] });
        }

        // A member that is named by its group.instance.id cannot be here.
        string[] memberIds = [.. request.Members.Where(member => member.GroupInstanceId is null).Select(member => member.MemberId)];
        ErrorCode[] answers = groups.Leave(request.GroupId, memberIds);
        if (answers.Length > 0 && Array.TrueForAll(answers, answer => answer == ErrorCode.CoordinatorNotAvailable))
        {
            return new(new LeaveGroupResponse { ErrorCode = ErrorCode.CoordinatorNotAvailable });
        }

        LeaveGroupResponse response = new();
        int index = 0;
        foreach (LeavingMember member in request.Members)
        {
            response.Members.Add(new LeavingMemberResponse
            {
                MemberId = member.MemberId,
                GroupInstanceId = member.GroupInstanceId,
                ErrorCode = member.GroupInstanceId is null ? answers[index++] : ErrorCode.UnsupportedVersion,
            });
        }

        return new(response);
    }
}
