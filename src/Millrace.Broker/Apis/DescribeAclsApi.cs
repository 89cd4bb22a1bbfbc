using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DescribeAcls (29), versions 0-3: there is no access control, as the error says.</summary>
internal sealed class DescribeAclsApi : Api<DescribeAclsRequest, DescribeAclsResponse>
{
    /// <summary>To a person, in the answers about access control.</summary>
    public const string NoAccessControl = "This broker has no access control: whoever reaches it may do everything.";

    protected override ValueTask<DescribeAclsResponse?> HandleAsync(DescribeAclsRequest request, RequestContext context) =>
        new(new DescribeAclsResponse { ErrorCode = ErrorCode.SecurityDisabled, ErrorMessage = NoAccessControl });
}
