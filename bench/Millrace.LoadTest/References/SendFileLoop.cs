using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.LoadTest.References;

/// <summary>The least that sending a file takes: sendfile, again and again, to a receiver that throws everything away.</summary>
internal static partial class SendFileLoop
{
    /// <summary>Sends the file once. Returns what was received.</summary>
    public static long Run(string path)
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var sender = new Thread(() => Send(listener, path));
        sender.Start();
        using var receiver = new Socket(SocketType.Stream, ProtocolType.Tcp);
        receiver.Connect(listener.LocalEndPoint!);
        byte[] buffer = new byte[256 * 1024];
        long received = 0;
        for (int count = receiver.Receive(buffer); count > 0; count = receiver.Receive(buffer))
        {
            received += count;
        }

        sender.Join();
        return received;
    }

    private static void Send(Socket listener, string path)
    {
        using Socket socket = listener.Accept();

        // TCP_CONGESTION, as the broker sets it within a machine: where the system's is BBR, it would pace the loop to a quarter of its rate.
        socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, 13, "reno"u8);
        using SafeFileHandle file = File.OpenHandle(path);
        long position = 0;
        while (Call(socket.SafeHandle, file, ref position, 1 << 20) > 0)
        {
        }
    }

    [LibraryImport("libc", EntryPoint = "sendfile", SetLastError = true)]
    private static partial nint Call(SafeSocketHandle socket, SafeFileHandle file, ref long position, nint byteCount);
}
