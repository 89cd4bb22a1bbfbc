using System.Globalization;

namespace Millrace.LoadTest.Running;

/// <summary>The processor time that each thread of this process has used, those of native libraries included.</summary>
internal sealed class ThreadTimes
{
    private const double TicksPerSecond = 100;

    private readonly Dictionary<string, double> _seconds = [];

    public static ThreadTimes Now()
    {
        var now = new ThreadTimes();
        foreach (string thread in Directory.EnumerateDirectories("/proc/self/task"))
        {
            try
            {
                string[] fields = File.ReadAllText($"{thread}/stat").Split(") ")[1].Split(' ');
                now._seconds[thread] = (double.Parse(fields[11], CultureInfo.InvariantCulture) + double.Parse(fields[12], CultureInfo.InvariantCulture)) / TicksPerSecond;
            }
            catch (IOException)
            {
                // It has ended.
            }
        }

        return now;
    }

    /// <summary>What the thread has used that has used most since then.</summary>
    public double BusiestSince(ThreadTimes before) => _seconds.Max(thread => thread.Value - before._seconds.GetValueOrDefault(thread.Key));
}
