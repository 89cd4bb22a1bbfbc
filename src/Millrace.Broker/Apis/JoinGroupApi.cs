using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>JoinGroup (11), versions 0-9. Waits until the join phase of the group ends.</summary>
internal sealed class JoinGroupApi(GroupCoordinator groups) : Api<JoinGroupRequest, JoinGroupResponse>
{
    /// <summary>KIP-394: from here on a client comes back with the id that it is given.</summary>
    private const int KnownMemberIdVersion = 4;

    /// <summary>KIP-814: from here on a leader can be told to leave the assignment as it is.</summary>
    private const int SkipAssignmentVersion = 9;

    /// <summary>A member's id begins with its client id, and has to fit into records and old responses.</summary>
    private const int MaxClientIdLength = 255;

    protected override ValueTask<JoinGroupResponse?> HandleAsync(JoinGroupRequest request, RequestContext context)
    {
        if (GroupRequests.Refusal(request.GroupId, request.GroupInstanceId) is ErrorCode refusal)
        {
            return new(Respond(JoinAnswer.Refused(refusal, request.MemberId)));
        }

        bool hasTooMany = request.Protocols.Count > GroupSettings.MaxProtocols;
        if (hasTooMany || !GroupRequests.FitsRecord(request.ProtocolType) || !request.Protocols.TrueForAll(protocol => GroupRequests.FitsRecord(protocol.Name)))
        {
            return new(Respond(JoinAnswer.Refused(ErrorCode.InconsistentGroupProtocol, request.MemberId)));
        }

        TimeSpan session = TimeSpan.FromMilliseconds(request.SessionTimeoutMilliseconds);
        JoinInput input = new()
        {
            MemberId = request.MemberId,
            InstanceId = request.GroupInstanceId,
            ClientId = Shorten(context.ClientId ?? ""),
            ClientHost = context.Connection.ClientHost,
            SessionTimeout = session,
            RebalanceTimeout = request.RebalanceTimeoutMilliseconds < 0 ? session : TimeSpan.FromMilliseconds(request.RebalanceTimeoutMilliseconds),
            ProtocolType = request.ProtocolType,
            Protocols = [.. request.Protocols.Select(protocol => new GroupProtocol(protocol.Name, protocol.Metadata))],
            RequiresKnownMemberId = context.Version >= KnownMemberIdVersion,
            CanSkipAssignment = context.Version >= SkipAssignmentVersion,
        };
        return AwaitAsync(groups.JoinAsync(request.GroupId, input), context.Aborted);

        // The others may take minutes: a connection whose client is gone does not wait for them. The member stays until its time is up, as in Kafka.
        static async ValueTask<JoinGroupResponse?> AwaitAsync(Task<JoinAnswer> answer, CancellationToken aborted) => Respond(await answer.UntilAbortedAsync(aborted));
    }

    private static string Shorten(string clientId) => clientId.Length <= MaxClientIdLength ? clientId : clientId[..MaxClientIdLength];

    private static JoinGroupResponse Respond(JoinAnswer answer) => new()
    {
        ErrorCode = answer.Error,
        GenerationId = answer.Generation,
        ProtocolType = answer.ProtocolType,
        ProtocolName = answer.ProtocolName,
        Leader = answer.Leader,
        SkipAssignment = answer.SkipAssignment,
        MemberId = answer.MemberId,
        Members =
        [
            .. answer.Members.Select(member => new JoinGroupMember
            {
                MemberId = member.MemberId, GroupInstanceId = member.InstanceId, Metadata = member.Metadata,
            }),
        ],
    };
}
