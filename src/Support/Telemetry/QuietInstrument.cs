using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Millrace;

/// <summary>
/// An instrument of a meter that never throws. Who listens to it is the application's, or a library's that it uses: where one fails, what it was to be told of goes on all the same. Those that
/// would have heard of it after that one do not.
/// </summary>
internal readonly struct QuietInstrument<T>(Instrument<T> instrument)
    where T : struct
{
    public bool Enabled => instrument.Enabled;

    public void Tell(T value, TagList tags) => _ = TryTell(value, tags);

    private bool TryTell(T value, TagList tags)
    {
        try
        {
            switch (instrument)
            {
                case Counter<T> counter:
                    counter.Add(value, tags);
                    break;
                case UpDownCounter<T> counter:
                    counter.Add(value, tags);
                    break;
                case Histogram<T> histogram:
                    histogram.Record(value, tags);
                    break;
                case Gauge<T> gauge:
                    gauge.Record(value, tags);
                    break;
                default:
                    throw new InvalidOperationException($"{instrument.GetType()} takes no values.");
            }

            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }
}
