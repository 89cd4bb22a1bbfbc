using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.LoadTest.References;

/// <summary>The least that an acknowledgement of acks=all has to wait for: one write at the end of a file, and fdatasync.</summary>
internal static partial class WriteAndSync
{
    /// <summary>How long each took, in microseconds.</summary>
    public static double[] Run(string path, int byteCount, int count)
    {
        byte[] bytes = new byte[byteCount];
        new Random(1).NextBytes(bytes);
        double[] took = new double[count];
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
        for (int number = 0; number < count; number++)
        {
            long begun = Stopwatch.GetTimestamp();
            RandomAccess.Write(file, bytes, (long)number * byteCount);
            if (FileDataSync(file) != 0)
            {
                throw new IOException($"fdatasync failed on {path}.");
            }

            took[number] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
        }

        return took;
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FileDataSync(SafeFileHandle file);
}
