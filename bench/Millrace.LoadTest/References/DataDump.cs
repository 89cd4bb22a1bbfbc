using System.Diagnostics;
using System.Globalization;

namespace Millrace.LoadTest.References;

/// <summary>dd, which others wrote: what our own references are checked against.</summary>
internal static class DataDump
{
    /// <summary>Megabytes a second of writing a file from memory.</summary>
    public static double WriteMegabytesPerSecond(string path, int megabytes)
    {
        TimeSpan took = Run("if=/dev/zero", $"of={path}", "bs=1M", $"count={megabytes}");
        return megabytes / took.TotalSeconds;
    }

    /// <summary>Microseconds of one write that is synced.</summary>
    public static double SyncedWriteMicroseconds(string path, int byteCount, int count)
    {
        TimeSpan took = Run("if=/dev/zero", $"of={path}", $"bs={byteCount}", $"count={count}", "oflag=dsync");
        return took.TotalMicroseconds / count;
    }

    private static TimeSpan Run(params string[] arguments)
    {
        using Process dd = Process.Start(new ProcessStartInfo("dd", arguments) { UseShellExecute = false, RedirectStandardError = true, Environment = { ["LC_ALL"] = "C" } })!;
        string report = dd.StandardError.ReadToEnd();
        dd.WaitForExit();

        // ... 536870912 bytes (537 MB, 512 MiB) copied, 0.25 s, 2.1 GB/s
        string seconds = report.Split(" copied, ")[1].Split(' ')[0];
        return TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture));
    }
}
