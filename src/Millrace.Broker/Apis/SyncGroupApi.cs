using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>SyncGroup (14), versions 0-5. Waits until the leader's assignment is on the disk.</summary>
internal sealed class SyncGroupApi(GroupCoordinator groups) : Api<SyncGroupRequest, SyncGroupResponse>
{
    protected override ValueTask<SyncGroupResponse?> HandleAsync(SyncGroupRequest request, RequestContext context)
    {
        if (GroupRequests.Refusal(request.GroupId, request.GroupInstanceId) is ErrorCode refusal)
        {
            return new(Respond(SyncAnswer.Refused(refusal)));
        }

        SyncInput input = new()
        {
            MemberId = request.MemberId,
            InstanceId = request.GroupInstanceId,
            Generation = request.GenerationId,
            ProtocolType = request.ProtocolType,
            ProtocolName = request.ProtocolName,
            Assignments = [.. request.Assignments.Select(assignment => KeyValuePair.Create(assignment.MemberId, assignment.Assignment))],
        };
        return AwaitAsync(groups.SyncAsync(request.GroupId, input), context.Aborted);

        // The others may take minutes: a connection whose client is gone does not wait for them. The member stays until its time is up, as in Kafka.
        static async ValueTask<SyncGroupResponse?> AwaitAsync(Task<SyncAnswer> answer, CancellationToken aborted) => Respond(await answer.UntilAbortedAsync(aborted));
    }

    private static SyncGroupResponse Respond(SyncAnswer answer) => new()
    {
        ErrorCode = answer.Error,
        ProtocolType = answer.ProtocolType,
        ProtocolName = answer.ProtocolName,
        Assignment = answer.Assignment,
    };
}
