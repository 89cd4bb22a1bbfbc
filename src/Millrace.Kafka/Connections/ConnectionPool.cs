namespace Millrace.Kafka;

/// <summary>What a connection is for. Answers keep the order of requests, so that work that waits at the broker needs one of its own.</summary>
internal enum ConnectionPurpose
{
    /// <summary>Metadata, offsets, commits: answered at once.</summary>
    General,

    Produce,

    /// <summary>Waits for records.</summary>
    Fetch,

    /// <summary>Asks for records of partitions that shall not wait until a fetch that is under way is answered.</summary>
    FetchAside,

    /// <summary>Joins wait for other members; heartbeats never go out while one does.</summary>
    Group,
}

/// <summary>The connections of one producer, consumer or client: at most one for each broker and purpose.</summary>
internal sealed class ConnectionPool : IAsyncDisposable
{
    // A connection is closed at most a tenth later than it might be.
    private const int SweepsPerIdleTime = 10;

    private readonly ClientContext _context;
    private readonly int? _produceMaxInFlight;
    private readonly ITimer _idleSweep;
    private readonly Dictionary<(BrokerAddress Address, ConnectionPurpose Purpose), BrokerLink> _links = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private bool _isClosed;

    /// <summary>Creates an empty pool.</summary>
    /// <param name="context">What the client shares.</param>
    /// <param name="produceMaxInFlight">The bound on outstanding requests of produce connections; others have the client's.</param>
    public ConnectionPool(ClientContext context, int? produceMaxInFlight = null)
    {
        _context = context;
        _produceMaxInFlight = produceMaxInFlight;
        TimeSpan idle = context.Settings.MaxConnectionIdleTime;
        TimeSpan period = idle > TimeSpan.Zero ? idle / SweepsPerIdleTime : Timeout.InfiniteTimeSpan;
        _idleSweep = context.Time.CreateTimer(static pool => ((ConnectionPool)pool!).CloseUnused(), this, period, period);
    }

    /// <summary>The open connection, or null.</summary>
    public BrokerConnection? Find(BrokerAddress address, ConnectionPurpose purpose) => Link(address, purpose).Current;

    /// <summary>The open connection, or a new one, after the back-off that earlier failures ask for.</summary>
    /// <exception cref="KafkaException">The attempt failed. The next one is later.</exception>
    public Task<BrokerConnection> GetAsync(BrokerAddress address, ConnectionPurpose purpose, CancellationToken cancellationToken)
    {
        BrokerLink link = Link(address, purpose);
        return link.Current is { } connection ? Task.FromResult(connection) : link.OpenAsync().WaitAsync(cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        BrokerLink[] links;
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            links = [.. _links.Values];
        }

        await _idleSweep.DisposeAsync();
        await _stop.CancelElsewhereAsync();
        foreach (BrokerLink link in links)
        {
            await link.DisposeAsync();
        }

        _stop.Dispose();
    }

    /// <summary>Lets go of connections before brokers do, which have <c>connections.max.idle.ms</c> of their own: a request that meets their closing is lost.</summary>
    private void CloseUnused()
    {
        BrokerLink[] links;
        lock (_gate)
        {
            links = [.. _links.Values];
        }

        foreach (BrokerLink link in links)
        {
            link.Current?.CloseIfUnused(_context.Settings.MaxConnectionIdleTime);
        }
    }

    private BrokerLink Link(BrokerAddress address, ConnectionPurpose purpose)
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                throw new KafkaClosedException($"The client is closed; no connection to {address} is opened.");
            }

            if (!_links.TryGetValue((address, purpose), out BrokerLink? link))
            {
                int maxInFlight = (purpose == ConnectionPurpose.Produce ? _produceMaxInFlight : null) ?? _context.Settings.MaxInFlightRequests;
                link = new BrokerLink(address, purpose, _context, maxInFlight, _stop.Token);
                _links.Add((address, purpose), link);
            }

            return link;
        }
    }
}
