using Microsoft.Extensions.Logging;

namespace Millrace.Kafka;

/// <summary>The succession of connections to one broker.</summary>
internal sealed class BrokerLink(
    BrokerAddress address, ConnectionPurpose purpose, ClientContext context, int maxInFlight, CancellationToken stop) : IAsyncDisposable
{
    private readonly ILogger _logger = context.Loggers.CreateLogger<ConnectionPool>();
    private readonly Lock _gate = new();
    private BrokerConnection? _connection;
    private Task<BrokerConnection>? _opening;
    private int _failureCount;
    private bool _hasAttempted;
    private long _attemptedAt;
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
                if (context.Refusals.Find(address) is { } refusal)
                {
                    return Task.FromException<BrokerConnection>(refusal);
                }

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
            await opening.ConfigureAwait(Awaiting.Quietly);
        }

        if (_connection is not null)
        {
            await _connection.DisposeAsync();
        }
    }

    private async Task<BrokerConnection> AttemptAsync()
    {
        await context.BeginAsync();
        try
        {
            // A caller that found the pool open may come here after its end: what it opened would never be closed.
            stop.ThrowIfCancellationRequested();
            BrokerConnection? old = _connection;
            if (old is not null)
            {
                await old.DisposeAsync();
            }

            await WaitForTurnAsync();
            BrokerConnection connection = await BrokerConnection.OpenAsync(address, context, maxInFlight, stop, context.ConnectTimeout.After(_failureCount + 1));
            context.Refusals.Clear(address);
            _failureCount = 0;
            _pause = context.ReconnectBackoff.After(1);
            Volatile.Write(ref _connection, connection);
            LogMessages.Connected(_logger, address, purpose);
            return connection;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            throw new KafkaClosedException($"The client was closed while it connected to {address}.");
        }
        catch (KafkaAuthenticationException refusal)
        {
            _failureCount = 0;
            LogMessages.AuthenticationFailed(_logger, address, context.Refusals.Add(address, refusal), refusal.Message);
            throw;
        }
        catch (Exception failure)
        {
            _attemptedAt = context.Time.GetTimestamp();
            _pause = context.ReconnectBackoff.After(++_failureCount);
            LogMessages.ConnectFailed(_logger, address, _pause, failure.Message);
            throw failure as KafkaException ?? new KafkaConnectionException($"No connection to {address}: {failure.Message}", failure);
        }
    }

    /// <summary>
    /// A pause after a failure, and a short one also after an attempt that succeeded: a broker that takes connections and breaks them at once would otherwise be
    /// met without any (KIP-144).
    /// </summary>
    private async ValueTask WaitForTurnAsync()
    {
        TimeSpan rest = _hasAttempted ? _pause - context.Time.GetElapsedTime(_attemptedAt) : TimeSpan.Zero;
        if (rest > TimeSpan.Zero)
        {
            await Task.Delay(rest, context.Time, stop);
        }

        _hasAttempted = true;
        _attemptedAt = context.Time.GetTimestamp();
    }
}
