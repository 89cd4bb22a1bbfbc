using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Millrace.Broker;

/// <summary>The connections that are open: takes new ones within the limits, closes idle ones, ends all of them.</summary>
internal sealed class ConnectionTable : IDisposable
{
    private readonly BrokerConfiguration _configuration;
    private readonly ApiTable _apis;
    private readonly RequestMemory _memory;
    private readonly SaslServices? _sasl;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationToken _stopping;
    private readonly ConcurrentDictionary<long, (ClientConnection Connection, Task Running)> _open = new();
    private readonly ITimer _idleSweep;

    private readonly Lock _counting = new();
    private readonly Dictionary<IPAddress, int> _countByAddress = [];
    private int _networkConnectionCount;
    private long _lastId;

    /// <param name="configuration">The limits, and what the listeners go by.</param>
    /// <param name="apis">What is answered.</param>
    /// <param name="sasl">For listeners where clients log in; null where there is none.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Where it is told who comes and goes.</param>
    /// <param name="stopping">Ends the reading of requests.</param>
    public ConnectionTable(
        BrokerConfiguration configuration, ApiTable apis, SaslServices? sasl, TimeProvider time, ILogger logger, CancellationToken stopping)
    {
        _configuration = configuration;
        _apis = apis;
        _memory = new RequestMemory(configuration.MaxQueuedRequestByteCount);
        _sasl = sasl;
        _time = time;
        _logger = logger;
        _stopping = stopping;

        // A connection is closed at most a tenth later than promised.
        TimeSpan period = configuration.MaxConnectionIdleTime / 10;
        _idleSweep = time.CreateTimer(static table => ((ConnectionTable)table!).CloseIdle(), this, period, period);
    }

    public int Count => _open.Count;

    /// <summary>Whether a response is on its way, or stuck.</summary>
    public bool IsAnySending => _open.Values.Any(open => open.Connection.Transport.IsSending);

    /// <summary>What all requests hold that arrive or are worked on.</summary>
    public long RequestByteCount => _memory.UsedByteCount;

    /// <summary>Takes a socket of a listener, which it owns from then on.</summary>
    public void Accept(Socket socket, BoundListener listener)
    {
        try
        {
            var remote = (IPEndPoint)socket.RemoteEndPoint!;
            socket.NoDelay = true;
            Pacing.LeaveOutWithinMachine(socket);
            IPAddress address = remote.Address.IsIPv4MappedToIPv6 ? remote.Address.MapToIPv4() : remote.Address;
            var identity = new ConnectionIdentity(
                Interlocked.Increment(ref _lastId), $"{address}:{remote.Port}", $"/{address}", (IPEndPoint)socket.LocalEndPoint!, listener);

            // Once nothing can fail any more: a place that is counted is given back only by a connection that ran.
            if (!TryCount(remote))
            {
                socket.Dispose();
                return;
            }

            FrameTransport transport = listener.Configuration.HasTls
                ? new TlsTransport(socket, _configuration.Security.Tls!, identity, _configuration.MaxRequestByteCount, _time)
                : new SocketTransport(socket, identity, _configuration.MaxRequestByteCount, _time);
            Run(transport, new ConnectionSession(listener.Configuration.HasSasl ? _sasl : null), () => Uncount(remote));
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            socket.Dispose();
        }
    }

    /// <summary>Serves the other end of an in-memory connection. These are the program's own and are not limited.</summary>
    public void Add(InMemoryConnection connection)
    {
        long id = Interlocked.Increment(ref _lastId);
        var identity = new ConnectionIdentity(id, $"in-memory-{id}", ConnectionIdentity.InMemoryHost, LocalEndPoint: null);
        Run(new InMemoryTransport(connection, identity, _configuration.MaxRequestByteCount), new ConnectionSession(services: null), static () => { });
    }

    public Task WhenAllEndedAsync() => Task.WhenAll(_open.Values.Select(open => open.Running));

    public void AbortAll()
    {
        foreach ((ClientConnection connection, _) in _open.Values)
        {
            connection.Abort();
        }
    }

    public void Dispose() => _idleSweep.Dispose();

    private void Run(FrameTransport transport, ConnectionSession session, Action ended)
    {
        var connection = new ClientConnection(transport, session, _apis, _memory, CloseStalled, _configuration, _time, _logger, _stopping);
        var registered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task running = RunAsync(connection, registered.Task, ended);
        _open[transport.Identity.Id] = (connection, running);

        // The connection starts once it is in the table; otherwise one that ends at once would be removed before it is added.
        registered.SetResult();
    }

    private async Task RunAsync(ClientConnection connection, Task registered, Action ended)
    {
        await registered;
        Diagnostics.ConnectionOpened();
        LogMessages.ConnectionOpened(_logger, connection.Identity.Remote);
        await connection.RunAsync();

        // The place is free before the table says that the connection is gone: who sees it gone may come at once.
        ended();
        _open.TryRemove(connection.Identity.Id, out _);
        Diagnostics.ConnectionEnded();
        LogMessages.ConnectionEnded(_logger, connection.Identity.Remote);
        connection.Dispose();
    }

    private bool TryCount(IPEndPoint remote)
    {
        lock (_counting)
        {
            int ofAddress = _countByAddress.GetValueOrDefault(remote.Address);
            if (_networkConnectionCount >= _configuration.MaxConnections)
            {
                LogMessages.ConnectionRefused(_logger, remote.ToString(), _networkConnectionCount, "max.connections", _configuration.MaxConnections);
                return false;
            }

            if (ofAddress >= _configuration.MaxConnectionsPerAddress)
            {
                LogMessages.ConnectionRefused(_logger, remote.ToString(), ofAddress, "max.connections.per.ip", _configuration.MaxConnectionsPerAddress);
                return false;
            }

            _networkConnectionCount++;
            _countByAddress[remote.Address] = ofAddress + 1;
            return true;
        }
    }

    private void Uncount(IPEndPoint remote)
    {
        lock (_counting)
        {
            _networkConnectionCount--;
            if (--_countByAddress[remote.Address] == 0)
            {
                _countByAddress.Remove(remote.Address);
            }
        }
    }

    private void CloseIdle()
    {
        foreach ((ClientConnection connection, _) in _open.Values)
        {
            FrameTransport transport = connection.Transport;
            if (transport.IdleTime <= _configuration.MaxConnectionIdleTime)
            {
                continue;
            }

            // A request that waits inside the broker is not idleness; a response that the client does not read is.
            if (!connection.HasRequestsInFlight || transport.IsSending)
            {
                LogMessages.ConnectionIdle(_logger, connection.Identity.Remote, transport.IdleTime);
                connection.Abort();
            }
        }
    }

    private void CloseStalled()
    {
        foreach ((ClientConnection connection, _) in _open.Values)
        {
            if (connection.StallTime is var stall && stall >= ClientConnection.MaxStallTime)
            {
                LogMessages.ConnectionStalled(_logger, connection.Identity.Remote, stall);
                connection.Abort();
            }
        }
    }
}
