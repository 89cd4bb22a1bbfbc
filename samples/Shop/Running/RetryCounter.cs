using System.Diagnostics.Metrics;

namespace Shop;

/// <summary>Counts what the messaging of this process repeats and gives up, from its metrics.</summary>
internal sealed class RetryCounter : IDisposable
{
    private readonly MeterListener _listener = new();
    private long _retryCount;
    private long _deadLetterCount;

    public RetryCounter()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == "Millrace.Messaging" && instrument.Name is "millrace.endpoint.retries" or "millrace.endpoint.dead_letters")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<long>((instrument, count, _, _) =>
        {
            if (instrument.Name == "millrace.endpoint.retries")
            {
                Interlocked.Add(ref _retryCount, count);
            }
            else
            {
                Interlocked.Add(ref _deadLetterCount, count);
            }
        });
        _listener.Start();
    }

    public long RetryCount => Interlocked.Read(ref _retryCount);

    public long DeadLetterCount => Interlocked.Read(ref _deadLetterCount);

    public void Dispose() => _listener.Dispose();
}
