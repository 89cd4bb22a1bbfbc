using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Millrace.Broker;

/// <summary>
/// Chooses the congestion control of connections that do not leave the machine. Where the system's is BBR, the kernel spreads what is sent over time, with a timer for each
/// piece. That is made for networks; to a client on the same machine it halves the rate and doubles the processor time.
/// </summary>
internal static class Pacing
{
    // linux/tcp.h: TCP_CONGESTION. Reno has no pacing, is in every kernel, and every process may choose it. Nothing is lost on the way, so that it never slows down.
    private const int CongestionOption = 13;
    private static readonly byte[] Reno = Encoding.ASCII.GetBytes("reno");

    /// <summary>Leaves pacing out on a connection within the machine. False: it is as it was, since it goes to another machine, or the system does not let us.</summary>
    public static bool LeaveOutWithinMachine(Socket socket)
    {
        if (!OperatingSystem.IsLinux() || socket is not { LocalEndPoint: IPEndPoint local, RemoteEndPoint: IPEndPoint remote } || !local.Address.Equals(remote.Address))
        {
            return false;
        }

        try
        {
            socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, CongestionOption, Reno);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    internal static string CongestionControlOf(Socket socket)
    {
        byte[] name = new byte[16];
        int byteCount = socket.GetRawSocketOption((int)SocketOptionLevel.Tcp, CongestionOption, name);
        return Encoding.ASCII.GetString(name.AsSpan(0, byteCount)).TrimEnd('\0');
    }
}
