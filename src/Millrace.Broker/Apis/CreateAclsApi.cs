using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>CreateAcls (30), versions 0-3: there is no access control, as the error says of each entry.</summary>
internal sealed class CreateAclsApi : Api<CreateAclsRequest, CreateAclsResponse>
{
    protected override ValueTask<CreateAclsResponse?> HandleAsync(CreateAclsRequest request, RequestContext context) => new(new CreateAclsResponse
    {
        Results =
        [
            .. request.Creations.Select(static _ => new AclCreationResult
            {
                ErrorCode = ErrorCode.SecurityDisabled, ErrorMessage = DescribeAclsApi.NoAccessControl,
            }),
        ],
    });
}
