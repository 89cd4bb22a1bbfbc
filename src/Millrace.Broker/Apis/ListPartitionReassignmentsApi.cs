using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>ListPartitionReassignments (key 46, version 0): there is one node, and no partition is ever on its way to another one. Kafka's tools ask when they describe topics.</summary>
internal sealed class ListPartitionReassignmentsApi : Api<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>
{
    protected override ValueTask<ListPartitionReassignmentsResponse?> HandleAsync(ListPartitionReassignmentsRequest request, RequestContext context) =>
        new(new ListPartitionReassignmentsResponse { ErrorMessage = null });
}
