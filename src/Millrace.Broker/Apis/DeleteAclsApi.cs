using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DeleteAcls (31), versions 0-3: there is no access control, as the error says of each filter.</summary>
internal sealed class DeleteAclsApi : Api<DeleteAclsRequest, DeleteAclsResponse>
{
    protected override ValueTask<DeleteAclsResponse?> HandleAsync(DeleteAclsRequest request, RequestContext context) => new(new DeleteAclsResponse
    {
        FilterResults =
        [
            .. request.Filters.Select(static _ => new DeleteAclsFilterResult
            {
                ErrorCode = ErrorCode.SecurityDisabled, ErrorMessage = DescribeAclsApi.NoAccessControl,
            }),
        ],
    });
}
