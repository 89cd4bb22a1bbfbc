using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>LeaveGroup (13), versions 0-5: one member up to version 2, several from version 3, which also lets an operator take static members out by their instance ids.</summary>
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
            return new(new LeaveGroupResponse { ErrorCode = groups.Leave(request.GroupId, [new MemberName(request.MemberId)])[0] });
        }

        ErrorCode[] answers = groups.Leave(
            request.GroupId, [.. request.Members.Select(member => new MemberName(member.MemberId, member.GroupInstanceId))]);
        if (answers.Length > 0 && Array.TrueForAll(answers, answer => answer == ErrorCode.CoordinatorNotAvailable))
        {
            return new(new LeaveGroupResponse { ErrorCode = ErrorCode.CoordinatorNotAvailable });
        }

        LeaveGroupResponse response = new();
        foreach ((LeavingMember member, ErrorCode answer) in request.Members.Zip(answers))
        {
            response.Members.Add(new LeavingMemberResponse
            {
                MemberId = member.MemberId,
                GroupInstanceId = member.GroupInstanceId,
                ErrorCode = answer,
            });
        }

        return new(response);
    }
}
