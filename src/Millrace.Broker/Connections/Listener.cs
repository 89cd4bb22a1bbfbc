using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Millrace.Broker;

/// <summary>Listens on one address and hands each connection that is within the limits to its owner.</summary>
internal sealed class Listener : IDisposable
{
    private const int Backlog = 512;

    /// <summary>How long to let go when accepting fails, which it does when the process has no file descriptor left.</summary>
    private static readonly TimeSpan AcceptRetryDelay = TimeSpan.FromSeconds(1);

    private readonly Socket _socket;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    private Listener(Socket socket, ListenerConfiguration configuration, TimeProvider time, ILogger logger)
    {
        _socket = socket;
        _time = time;
        _logger = logger;
        Bound = new BoundListener(configuration, (IPEndPoint)socket.LocalEndPoint!);
    }

    public BoundListener Bound { get; }

    public IPEndPoint EndPoint => Bound.EndPoint;

    /// <summary>Binds and listens; connections wait in the backlog until <see cref="AcceptAsync"/>.</summary>
    /// <exception cref="BrokerStartException">The address cannot be listened on.</exception>
    public static Listener Start(ListenerConfiguration configuration, TimeProvider time, ILogger logger)
    {
        IPEndPoint endPoint = configuration.EndPoint;
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endPoint.Address.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }

            socket.Bind(endPoint);
            socket.Listen(Backlog);
            return new Listener(socket, configuration, time, logger);
        }
        catch (SocketException failure)
        {
            socket.Dispose();
            throw new BrokerStartException(BrokerStartFailure.Listen, Explain(endPoint, failure), failure);
        }
    }

    /// <summary>Accepts until <paramref name="stop"/>. <paramref name="accept"/> takes ownership of each socket and returns at once.</summary>
    public async Task AcceptAsync(Action<Socket, BoundListener> accept, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            Socket? client = null;
            try
            {
                client = await _socket.AcceptAsync(stop);
                accept(client, Bound);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (Exception failure)
            {
                // Whatever it is, such as no memory for another connection: who comes later is not to be left standing.
                client?.Dispose();
                if (stop.IsCancellationRequested)
                {
                    return;
                }

                // A client that went away between its arrival and our accept is no reason to wait.
                if (failure is SocketException { SocketErrorCode: SocketError.ConnectionReset or SocketError.ConnectionAborted })
                {
                    continue;
                }

                LogMessages.AcceptFailed(_logger, EndPoint, failure.Message, AcceptRetryDelay.TotalSeconds);
                await Task.Delay(AcceptRetryDelay, _time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    public void Dispose() => _socket.Dispose();

    private static string Explain(IPEndPoint endPoint, SocketException failure) => failure.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse =>
            $"Cannot listen on {endPoint}: another program uses this port. Stop it, or choose another port.",
        SocketError.AddressNotAvailable =>
            $"Cannot listen on {endPoint}: this machine has no such address. Choose one of its own, 127.0.0.1 for this machine only, or 0.0.0.0 for all.",
        SocketError.AccessDenied =>
            $"Cannot listen on {endPoint}: not permitted. Ports below 1024 usually need privileges; choose a higher one.",
        _ => $"Cannot listen on {endPoint}: {failure.Message}. Choose another address or port.",
    };
}
