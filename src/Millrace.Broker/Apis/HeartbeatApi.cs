using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>Heartbeat (12), versions 0-4.</summary>
internal sealed class HeartbeatApi(GroupCoordinator groups) : Api<HeartbeatRequest, HeartbeatResponse>
{
    protected override ValueTask<HeartbeatResponse?> HandleAsync(HeartbeatRequest request, RequestContext context)
    {
        ErrorCode error = GroupRequests.Refusal(request.GroupId, request.GroupInstanceId)
            ?? groups.Heartbeat(request.GroupId, new MemberName(request.MemberId, request.GroupInstanceId), request.GenerationId);
        return new(new HeartbeatResponse { ErrorCode = error });
    }
}
