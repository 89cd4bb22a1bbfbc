using System.Net;
using System.Net.Sockets;

namespace Millrace.Interop.Tests.Programs;

/// <summary>Stands between clients and a broker and keeps what the clients send, so that a test can see the very bytes.</summary>
internal sealed class CapturingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Lock _gate = new();
    private readonly List<MemoryStream> _sent = [];
    private readonly List<TcpClient> _clients = [];
    private readonly List<Task> _pumps = [];
    private Task _accepting = Task.CompletedTask;

    public CapturingProxy() => _listener.Start();

    public IPEndPoint EndPoint => (IPEndPoint)_listener.LocalEndpoint;

    public void ForwardTo(IPEndPoint broker) => _accepting = AcceptAsync(broker);

    /// <summary>Whether a client sent these bytes in one piece.</summary>
    public bool HasSent(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            foreach (MemoryStream stream in _sent)
            {
                if (stream.GetBuffer().AsSpan(0, (int)stream.Length).IndexOf(bytes) >= 0)
                {
                    return true;
                }
            }

            return false;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        await _accepting;
        foreach (TcpClient client in _clients)
        {
            client.Dispose();
        }

        await Task.WhenAll(_pumps);
        _listener.Dispose();
    }

    private async Task AcceptAsync(IPEndPoint broker)
    {
        while (true)
        {
            TcpClient client;
            try
            {
                client = await _listener.AcceptTcpClientAsync();
            }
            catch (Exception stopped) when (stopped is SocketException or ObjectDisposedException)
            {
                return;
            }

            TcpClient server = new();
            await server.ConnectAsync(broker);
            MemoryStream sent = new();
            lock (_gate)
            {
                _sent.Add(sent);
            }

            _clients.AddRange([client, server]);
            _pumps.Add(PumpAsync(client, server, sent));
            _pumps.Add(PumpAsync(server, client, capture: null));
        }
    }

    private async Task PumpAsync(TcpClient from, TcpClient to, MemoryStream? capture)
    {
        byte[] buffer = new byte[64 * 1024];
        try
        {
            while (await from.GetStream().ReadAsync(buffer) is > 0 and int count)
            {
                if (capture is not null)
                {
                    lock (_gate)
                    {
                        capture.Write(buffer, 0, count);
                    }
                }

                await to.GetStream().WriteAsync(buffer.AsMemory(0, count));
            }
        }
        catch (Exception closed) when (closed is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // One side went away; the other is told below.
        }

        from.Close();
        to.Close();
    }
}
