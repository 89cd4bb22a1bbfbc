using System.Diagnostics;
using System.Diagnostics.Metrics;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What the broker measures and traces, under the name <c>Millrace.Broker</c>. Units are UCUM's.</summary>
internal static class Diagnostics
{
    public const string Name = "Millrace.Broker";

    private static readonly ActivitySource Source = new(Name);
    private static readonly Meter Meter = new(Name);

    private static readonly UpDownCounter<int> Connections =
        Meter.CreateUpDownCounter<int>("millrace.broker.connections", "{connection}", "Connections that are open.");

    private static readonly Histogram<double> RequestDuration =
        Meter.CreateHistogram<double>("millrace.broker.request.duration", "s", "From the start of a request to its outcome, waits included.");

    private static readonly Counter<long> ProducedBytes =
        Meter.CreateCounter<long>("millrace.broker.produced", "By", "Bytes of record batches appended for clients.");

    private static readonly Counter<long> FetchedBytes =
        Meter.CreateCounter<long>("millrace.broker.fetched", "By", "Bytes of record batches returned to clients.");

    private static readonly Counter<long> Rebalances =
        Meter.CreateCounter<long>("millrace.broker.group.rebalances", "{rebalance}", "Rebalances of groups that ended with an assignment.");

    private static readonly Counter<long> OffsetCommits =
        Meter.CreateCounter<long>("millrace.broker.group.commits", "{commit}", "Offsets committed by groups, one for each partition.");

    public static void ConnectionOpened() => Connections.Add(1);

    public static void ConnectionEnded() => Connections.Add(-1);

    public static void RequestEnded(ApiKey api, TimeSpan duration)
    {
        if (RequestDuration.Enabled)
        {
            RequestDuration.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("api", api.ToString()));
        }
    }

    public static void Produced(int byteCount) => ProducedBytes.Add(byteCount);

    public static void Fetched(int byteCount) => FetchedBytes.Add(byteCount);

    public static void Rebalanced() => Rebalances.Add(1);

    public static void OffsetsCommitted(int count) => OffsetCommits.Add(count);

    /// <summary>Null unless somebody listens.</summary>
    public static Activity? StartRequest(ApiKey api, RequestContext context)
    {
        if (!Source.HasListeners())
        {
            return null;
        }

        Activity? activity = Source.StartActivity($"kafka {api}", ActivityKind.Server);
        activity?.SetTag("messaging.system", "kafka");
        activity?.SetTag("messaging.client.id", context.ClientId);
        activity?.SetTag("network.peer.address", context.Connection.Remote);
        return activity;
    }
}
