using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.Broker;

/// <summary>What one call has done.</summary>
/// <param name="HasEnded">Whether nothing more can be sent: the client is gone, or the file is shorter than it should be.</param>
internal readonly record struct SendFileResult(int ByteCount, bool HasEnded);

/// <summary>Linux's <c>sendfile</c>: bytes go from a file to a socket without passing through the process.</summary>
internal static partial class SendFile
{
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int InvalidArgument = 22;
    private const int NotSupported = 95;
    private const int FunctionNotImplemented = 38;

    /// <summary>Sends as much as the socket takes at once, perhaps nothing: then the caller sends the next bytes himself, and waits with that.</summary>
    public static SendFileResult Send(Socket socket, SafeFileHandle file, long position, int byteCount)
    {
        int sent = 0;
        while (OperatingSystem.IsLinux() && sent < byteCount)
        {
            nint count = Call(socket.SafeHandle, file, ref position, byteCount - sent);
            if (count > 0)
            {
                sent += (int)count;
                continue;
            }

            int error = count == 0 ? 0 : Marshal.GetLastPInvokeError();
            if (error == Interrupted)
            {
                continue;
            }

            bool canBeCopied = error is WouldBlock or InvalidArgument or NotSupported or FunctionNotImplemented;
            return new SendFileResult(sent, HasEnded: !canBeCopied);
        }

        return new SendFileResult(sent, HasEnded: false);
    }

    [LibraryImport("libc", EntryPoint = "sendfile", SetLastError = true)]
    private static partial nint Call(SafeSocketHandle socket, SafeFileHandle file, ref long position, nint byteCount);
}
