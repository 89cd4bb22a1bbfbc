using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Kafka;

/// <summary>
/// Connects over TCP, with Nagle's delay off and keep-alive on. A name with several addresses is tried address by address (KIP-302: <c>client.dns.lookup=use_all_dns_ips</c>), beginning with
/// the one that worked last; after one that did not answer in time, the next attempt begins with its successor.
/// </summary>
public sealed class TcpKafkaConnector : IKafkaConnector
{
    /// <summary>Addresses that are tried in one attempt; a name with more begins elsewhere in the next one.</summary>
    private const int MaxAddressesPerAttempt = 32;

    /// <summary>
    /// What a connection on which nothing happens is asked, so that a middlebox does not forget it, and one that has is noticed within a minute: before somebody waits for an answer on it.
    /// </summary>
    private const int KeepAliveIdleSeconds = 30;
    private const int KeepAliveIntervalSeconds = 10;
    private const int KeepAliveProbeCount = 3;

    private readonly int _maxResponseByteCount;
    private readonly TlsSettings? _tls;
    private readonly Func<string, CancellationToken, Task<IPAddress[]>> _resolve;
    private readonly ConcurrentDictionary<BrokerAddress, IPAddress> _firstChoice = new();

    /// <summary>Creates a connector.</summary>
    /// <param name="maxResponseByteCount">The largest frame that is read, in bytes; at least 1,024.</param>
    public TcpKafkaConnector(int maxResponseByteCount = 100 * 1024 * 1024)
        : this(maxResponseByteCount, tls: null)
    {
    }

    internal TcpKafkaConnector(int maxResponseByteCount, TlsSettings? tls, Func<string, CancellationToken, Task<IPAddress[]>>? resolve = null)
    {
        _maxResponseByteCount = maxResponseByteCount;
        _tls = tls;
        _resolve = resolve ?? Dns.GetHostAddressesAsync;
    }

    /// <inheritdoc/>
    public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        IPAddress[] candidates = await ResolveAsync(address, cancellationToken);
        KafkaException? lastFailure = null;
        for (int i = 0; i < candidates.Length; i++)
        {
            // Until this one has worked, the next attempt begins behind it: it may be the one that never answers.
            _firstChoice[address] = candidates[(i + 1) % candidates.Length];
            try
            {
                IKafkaTransport transport = await ConnectAsync(address, candidates[i], cancellationToken);
                _firstChoice[address] = candidates[i];
                return transport;
            }
            catch (KafkaConnectionException failure)
            {
                lastFailure = failure;
            }
        }

        throw lastFailure ?? new KafkaConnectionException($"No connection to {address}: the name has no address. Check the name, and the resolver.");
    }

    private async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, IPAddress ip, CancellationToken cancellationToken)
    {
        var socket = new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            KeepAlive(socket);
            await socket.ConnectAsync(new IPEndPoint(ip, address.Port), cancellationToken);
            return _tls is null
                ? new TcpKafkaTransport(socket, tls: null, address, _maxResponseByteCount)
                : new TcpKafkaTransport(socket, await TlsHandshake.RunAsync(_tls, socket, address, cancellationToken), address, _maxResponseByteCount);
        }
        catch (SocketException failure)
        {
            socket.Dispose();
            throw new KafkaConnectionException(
                $"No connection to {address}{(IPAddress.TryParse(address.Host, out _) ? "" : $" ({ip})")}: {failure.Message}. " +
                "Check that the broker runs and that the address is its listener's.",
                failure);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static void KeepAlive(Socket socket)
    {
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveIdleSeconds);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAliveIntervalSeconds);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveProbeCount);
        }
        catch (Exception failure) when (failure is SocketException or PlatformNotSupportedException)
        {
            // The platform has not all of it: what it has is set, with its own times.
        }
    }

    /// <summary>Each address once, those of the resolver's order, turned so that the one to begin with is first.</summary>
    private async ValueTask<IPAddress[]> ResolveAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(address.Host, out IPAddress? literal))
        {
            return [literal];
        }

        try
        {
            IPAddress[] all = (await _resolve(address.Host, cancellationToken)).Distinct().ToArray();
            int first = _firstChoice.TryGetValue(address, out IPAddress? choice) ? Math.Max(0, Array.IndexOf(all, choice)) : 0;
            return [.. all[first..].Concat(all[..first]).Take(MaxAddressesPerAttempt)];
        }
        catch (SocketException failure)
        {
            throw new KafkaConnectionException($"No connection to {address}: the name cannot be resolved. {failure.Message}. Check the name, and the resolver.", failure);
        }
    }
}
