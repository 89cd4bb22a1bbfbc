using Microsoft.Extensions.Logging;

namespace Millrace.Kafka;

/// <summary>What a connection is for. Answers keep the order of requests, so that work that waits at the broker needs one of its own.</summary>
internal enum ConnectionPurpose
{
    /// <summary>Metadata, offsets, commits: answered at once.</summary>
    General,

    Produce,

    /// <summary>Waits for records.</summary>
    Fetch,

    /// <summary>Joins wait for other members; heartbeats never go out while one does.</summary>
    Group,
}

/// <summary>The connections of one producer, consumer or client: at most one for each broker and purpose.</summary>
/// <param name="context">What the client shares.</param>
/// <param name="produceMaxInFlight">The bound on outstanding requests of produce connections; others have the client's.</param>
internal sealed class ConnectionPool(ClientContext context, int? produceMaxInFlight = null) : IAsyncDisposable
{
    private readonly Dictionary<(BrokerAddress Address, ConnectionPurpose Purpose), BrokerLink> _links = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private bool _isClosed;

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

        await _stop.CancelAsync();
        foreach (BrokerLink link in links)
        {
            await link.DisposeAsync();
        }

        _stop.Dispose();
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
                int maxInFlight = (purpose == ConnectionPurpose.Produce ? produceMaxInFlight : null) ?? context.Settings.MaxInFlightRequests;
                link = new BrokerLink(address, purpose, context, maxInFlight, _stop.Token);
                _links.Add((address, purpose), link);
            }

            return link;
        }
    }

    /// <summary>The succession of connections to one broker.</summary>
    private sealed class BrokerLink(
        BrokerAddress address, ConnectionPurpose purpose, ClientContext context, int maxInFlight, CancellationToken stop) : IAsyncDisposable
    {
        private readonly ILogger _logger = context.Loggers.CreateLogger<ConnectionPool>();
        private readonly Lock _gate = new();
        private BrokerConnection? _connection;
        private Task<BrokerConnection>? _opening;
        private int _failureCount;
        private long _failedAt;
        private TimeSpan _pause;

        public BrokerConnection? Current
        {
            get
            {
                BrokerConnection? connection = Volatile.Read(ref _connection);
                return connection is { IsOpen: true } ? connection : null;
            }
        }

        public Task<BrokerConnection> OpenAsync()
        {
            lock (_gate)
            {
                if (Current is { } connection)
                {
                    return Task.FromResult(connection);
                }

                if (_opening is null || _opening.IsCompleted)
                {
                    _opening = AttemptAsync();

                    // Observed here: every caller may have stopped waiting.
                    _ = _opening.ContinueWith(static task => _ = task.Exception, TaskScheduler.Default);
                }

                return _opening;
            }
        }

        public async ValueTask DisposeAsync()
        {
            Task? opening;
            lock (_gate)
            {
                opening = _opening;
            }

            if (opening is not null)
            {
                await opening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (_connection is not null)
            {
                await _connection.DisposeAsync();
            }
        }

        private async Task<BrokerConnection> AttemptAsync()
        {
            await Task.Yield();
            try
            {
                // A caller that found the pool open may come here after its end: what it opened would never be closed.
                stop.ThrowIfCancellationRequested();
                BrokerConnection? old = _connection;
                if (old is not null)
                {
                    await old.DisposeAsync();
                }

                if (_failureCount > 0)
                {
                    TimeSpan rest = _pause - context.Time.GetElapsedTime(_failedAt);
                    if (rest > TimeSpan.Zero)
                    {
                        await Task.Delay(rest, context.Time, stop);
                    }
                }

                BrokerConnection connection = await BrokerConnection.OpenAsync(address, context, maxInFlight, stop);
                _failureCount = 0;
                Volatile.Write(ref _connection, connection);
                LogMessages.Connected(_logger, address, purpose);
                return connection;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                throw new KafkaClosedException($"The client was closed while it connected to {address}.");
            }
            catch (Exception failure)
            {
                _failedAt = context.Time.GetTimestamp();
                _pause = context.ReconnectBackoff.After(++_failureCount);
                LogMessages.ConnectFailed(_logger, address, _pause, failure.Message);
                throw failure as KafkaException ?? new KafkaConnectionException($"No connection to {address}: {failure.Message}", failure);
            }
        }
    }
}
