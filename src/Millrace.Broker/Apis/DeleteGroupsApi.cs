using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DeleteGroups (42), versions 0-2: deletes groups that nobody is in, with what they have committed. Answers when that is on the disk.</summary>
internal sealed class DeleteGroupsApi(GroupCoordinator groups) : Api<DeleteGroupsRequest, DeleteGroupsResponse>
{
    protected override async ValueTask<DeleteGroupsResponse?> HandleAsync(DeleteGroupsRequest request, RequestContext context)
    {
        string[] groupIds = [.. request.GroupIds.Distinct(StringComparer.Ordinal)];
        List<ErrorCode> errors = [];
        foreach (Task<ErrorCode> deletion in groupIds.Select(groups.DeleteAsync).ToList())
        {
            errors.Add(await deletion);
        }

        return new DeleteGroupsResponse
        {
            Results = [.. groupIds.Zip(errors, (groupId, error) => new DeletableGroupResult { GroupId = groupId, ErrorCode = error })],
        };
    }
}
