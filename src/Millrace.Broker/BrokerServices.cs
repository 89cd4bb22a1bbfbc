using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What the APIs and coordinators of one broker work on. Made once at start.</summary>
internal sealed class BrokerServices
{
    public required BrokerConfiguration Configuration { get; init; }
    public required AdvertisedAddress Address { get; init; }
    public required IStorage Storage { get; init; }
    public required LogDirectory Log { get; init; }
    public required TopicCatalog Topics { get; init; }
    public required PartitionWaits Waits { get; init; }
    public required ColdReaders ColdReaders { get; init; }
    public required TimeProvider Time { get; init; }
    public required ILoggerFactory Loggers { get; init; }
    public required BrokerRuntime Runtime { get; init; }

    /// <summary>For listeners where clients log in; null where there is none.</summary>
    public SaslServices? Sasl { get; init; }

    /// <summary>Cancelled when the broker begins to stop: requests that wait answer with what there is.</summary>
    public required CancellationToken Stopping { get; init; }
}
