using System.Globalization;

namespace Shop;

/// <summary>How far the shop is: one line that is written over in a terminal, a line now and then elsewhere.</summary>
internal sealed class ProgressLine(TextWriter output, bool isTerminal, TimeProvider time)
{
    private static readonly TimeSpan s_plainInterval = TimeSpan.FromSeconds(1);

    private long _lastTimestamp = time.GetTimestamp();
    private string _last = "";

    public void Show(Tally tally, int orderCount, long retryCount)
    {
        string line = string.Create(
            CultureInfo.InvariantCulture,
            $"{tally.Ended,6} of {orderCount} orders: {tally.Completed} completed, {tally.Cancelled} compensated, {tally.Open} under way, {retryCount} retries");
        if (line == _last || (!isTerminal && time.GetElapsedTime(_lastTimestamp) < s_plainInterval))
        {
            return;
        }

        _last = line;
        _lastTimestamp = time.GetTimestamp();
        if (isTerminal)
        {
            output.Write($"\r{line.PadRight(79)}");
        }
        else
        {
            output.WriteLine(line);
        }
    }

    /// <summary>Leaves the line, so that what follows stands below it.</summary>
    public void End()
    {
        if (isTerminal && _last.Length > 0)
        {
            output.WriteLine();
        }
    }
}
