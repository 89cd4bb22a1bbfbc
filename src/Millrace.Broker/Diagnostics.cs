using System.Diagnostics;
using System.Diagnostics.Metrics;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What the broker measures and traces, under the name <c>Millrace.Broker</c>. Units are UCUM's. A listener that throws changes nothing of what the broker does.</summary>
internal static class Diagnostics
{
    public const string Name = "Millrace.Broker";

    private static readonly ActivitySource Source = new(Name);
    private static readonly Meter Meter = new(Name);

    private static readonly QuietInstrument<int> Connections = new(
        Meter.CreateUpDownCounter<int>("millrace.broker.connections", "{connection}", "Connections that are open."));

    private static readonly QuietInstrument<double> RequestDuration = new(
        Meter.CreateHistogram<double>("millrace.broker.request.duration", "s", "From the start of a request to its outcome, waits included."));

    private static readonly QuietInstrument<long> ProducedBytes = new(
        Meter.CreateCounter<long>("millrace.broker.produced", "By", "Bytes of record batches appended for clients."));

    private static readonly QuietInstrument<long> FetchedBytes = new(
        Meter.CreateCounter<long>("millrace.broker.fetched", "By", "Bytes of record batches returned to clients."));

    private static readonly QuietInstrument<long> Rebalances = new(
        Meter.CreateCounter<long>("millrace.broker.group.rebalances", "{rebalance}", "Rebalances of groups that ended with an assignment."));

    private static readonly QuietInstrument<long> OffsetCommits = new(
        Meter.CreateCounter<long>("millrace.broker.group.commits", "{commit}", "Offsets committed by groups, one for each partition."));

    public static void ConnectionOpened() => Connections.Tell(1, []);

    public static void ConnectionEnded() => Connections.Tell(-1, []);

    public static void RequestEnded(ApiKey api, TimeSpan duration)
    {
        if (RequestDuration.Enabled)
        {
            RequestDuration.Tell(duration.TotalSeconds, [new KeyValuePair<string, object?>("api", api.ToString())]);
        }
    }

    public static void Produced(int byteCount) => ProducedBytes.Tell(byteCount, []);

    public static void Fetched(int byteCount) => FetchedBytes.Tell(byteCount, []);

    public static void Rebalanced() => Rebalances.Tell(1, []);

    public static void OffsetsCommitted(int count) => OffsetCommits.Tell(count, []);

    /// <summary>Null unless somebody listens, and does not throw.</summary>
    public static Activity? StartRequest(ApiKey api, RequestContext context)
    {
        if (!Source.HasListeners())
        {
            return null;
        }

        Activity? activity = QuietActivities.Begin(api, static api => Source.StartActivity($"kafka {api}", ActivityKind.Server));
        activity?.SetTag("messaging.system", "kafka");
        activity?.SetTag("messaging.client.id", context.ClientId);
        activity?.SetTag("network.peer.address", context.Connection.Remote);
        return activity;
    }
}
