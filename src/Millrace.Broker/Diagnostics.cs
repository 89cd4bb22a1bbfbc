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

    public static void ConnectionOpened() => _ = TryTell(static change => Connections.Add(change), 1);

    public static void ConnectionEnded() => _ = TryTell(static change => Connections.Add(change), -1);

    public static void RequestEnded(ApiKey api, TimeSpan duration)
    {
        if (RequestDuration.Enabled)
        {
            _ = TryTell(static ended => RequestDuration.Record(ended.Seconds, new KeyValuePair<string, object?>("api", ended.Api.ToString())), (Api: api, Seconds: duration.TotalSeconds));
        }
    }

    public static void Produced(int byteCount) => _ = TryTell(static count => ProducedBytes.Add(count), byteCount);

    public static void Fetched(int byteCount) => _ = TryTell(static count => FetchedBytes.Add(count), byteCount);

    public static void Rebalanced() => _ = TryTell(static count => Rebalances.Add(count), 1);

    public static void OffsetsCommitted(int count) => _ = TryTell(static count => OffsetCommits.Add(count), count);

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

    /// <summary>Listeners are the application's: one that throws ends no connection, and keeps nothing from what follows.</summary>
    private static bool TryTell<TValue>(Action<TValue> tell, TValue value)
    {
        try
        {
            tell(value);
            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }
}
