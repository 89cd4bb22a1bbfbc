using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Millrace.Kafka.Tests;

/// <summary>Where a listener fails.</summary>
public enum ListenerFault
{
    Measurement,
    Sample,
    Start,
    Stop,
}

/// <summary>Listeners to the client's metrics and traces that throw at everything of one kind, from here to the end of the object.</summary>
internal sealed class FailingListeners : IDisposable
{
    private readonly ActivityListener _activities;
    private readonly MeterListener _meters = new();
    private int _failureCount;

    public FailingListeners(ListenerFault fault)
    {
        _activities = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == Diagnostics.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) =>
            {
                Fail(fault == ListenerFault.Sample);
                return ActivitySamplingResult.AllDataAndRecorded;
            },
            ActivityStarted = _ => Fail(fault == ListenerFault.Start),
            ActivityStopped = _ => Fail(fault == ListenerFault.Stop),
        };
        _meters.InstrumentPublished = static (instrument, listening) =>
        {
            if (instrument.Meter.Name == Diagnostics.SourceName)
            {
                listening.EnableMeasurementEvents(instrument);
            }
        };
        _meters.SetMeasurementEventCallback<long>((_, _, _, _) => Fail(fault == ListenerFault.Measurement));
        _meters.SetMeasurementEventCallback<double>((_, _, _, _) => Fail(fault == ListenerFault.Measurement));
        ActivitySource.AddActivityListener(_activities);
        _meters.Start();
    }

    public int FailureCount => Volatile.Read(ref _failureCount);

    public void Dispose()
    {
        _meters.Dispose();
        _activities.Dispose();
    }

    private void Fail(bool isMeant)
    {
        if (isMeant)
        {
            Interlocked.Increment(ref _failureCount);
            throw new InvalidOperationException("The listener failed.");
        }
    }
}
