using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>DescribeCluster (key 60, versions 0-2): the one broker, which is the controller too.</summary>
internal sealed class DescribeClusterApi(BrokerServices services) : Api<DescribeClusterRequest, DescribeClusterResponse>
{
    private const sbyte Brokers = 1;
    private const sbyte Controllers = 2;

    protected override ValueTask<DescribeClusterResponse?> HandleAsync(DescribeClusterRequest request, RequestContext context)
    {
        if (request.EndpointType != Brokers)
        {
            return new(new DescribeClusterResponse
            {
                ErrorCode = request.EndpointType == Controllers ? ErrorCode.MismatchedEndpointType : ErrorCode.UnsupportedEndpointType,
                ErrorMessage = "This is the address of a broker; it tells of brokers.",
                EndpointType = Brokers,
            });
        }

        (string host, int port) = services.Address.For(context.Connection);
        return new(new DescribeClusterResponse
        {
            EndpointType = Brokers,
            ClusterId = services.Log.ClusterId,
            ControllerId = BrokerConfiguration.NodeId,
            Brokers = [new DescribeClusterBroker { BrokerId = BrokerConfiguration.NodeId, Host = host, Port = port }],
            ClusterAuthorizedOperations = request.IncludeClusterAuthorizedOperations ? AuthorizedOperations.Cluster : AuthorizedOperations.NotAsked,
        });
    }
}
