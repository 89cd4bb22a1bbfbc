using System.Net;
using System.Net.Sockets;

namespace Millrace.Broker.Tests;

public sealed class PacingTests
{
    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1")]
    [InlineData("::1", "::1")]
    [InlineData("::ffff:127.0.0.1", "127.0.0.1")]
    public async Task A_connection_within_the_machine_is_not_paced(string listen, string connect)
    {
        using TcpListener listener = new(IPAddress.Parse(listen), 0);
        if (listener.Server.AddressFamily == AddressFamily.InterNetworkV6)
        {
            listener.Server.DualMode = true;
        }

        listener.Start();
        using Socket client = new(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Parse(connect), ((IPEndPoint)listener.LocalEndpoint).Port);
        using Socket accepted = await listener.AcceptSocketAsync();

        Assert.True(Pacing.LeaveOutWithinMachine(accepted));

        Assert.Equal("reno", Pacing.CongestionControlOf(accepted));
    }

    [Fact]
    public async Task A_connection_to_another_address_keeps_what_the_system_has()
    {
        // The whole of 127.0.0.0/8 is this machine's, so that two of its addresses stand for two machines.
        using TcpListener listener = new(IPAddress.Parse("127.0.0.2"), 0);
        listener.Start();
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.3"), 0));
        await client.ConnectAsync(listener.LocalEndpoint);
        using Socket accepted = await listener.AcceptSocketAsync();
        string before = Pacing.CongestionControlOf(accepted);

        Assert.False(Pacing.LeaveOutWithinMachine(accepted));

        Assert.Equal(before, Pacing.CongestionControlOf(accepted));
    }
}
