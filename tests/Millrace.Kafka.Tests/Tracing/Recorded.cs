using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Millrace.Kafka.Tests;

/// <summary>What the client tells to traces and metrics, from here to the end of the object.</summary>
internal sealed class Recorded : IDisposable
{
    private readonly ActivityListener _activities;
    private readonly MeterListener _meters;
    private readonly ConcurrentQueue<Measured> _measured = new();
    private readonly ConcurrentQueue<Activity> _spans = new();

    public Recorded(params string[] otherSources)
    {
        _activities = new ActivityListener
        {
            ShouldListenTo = source => source.Name == Diagnostics.SourceName || otherSources.Contains(source.Name),
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _spans.Enqueue,
        };
        ActivitySource.AddActivityListener(_activities);
        _meters = new MeterListener
        {
            InstrumentPublished = static (instrument, listening) =>
            {
                if (instrument.Meter.Name == Diagnostics.SourceName)
                {
                    listening.EnableMeasurementEvents(instrument);
                }
            },
        };
        _meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
        _meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
        _meters.Start();
    }

    public IReadOnlyList<Measured> Of(string name) => [.. _measured.Where(measured => measured.Name == name)];

    public IReadOnlyList<string> Names => [.. _measured.Select(measured => measured.Name).Distinct()];

    public IReadOnlyList<Activity> Spans(string name) => [.. _spans.Where(span => span.OperationName == name)];

    /// <summary>Hears of what one client tells by one instrument.</summary>
    public static MeterListener Each<T>(string name, string clientId, Action heard)
        where T : struct
    {
        var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listening) =>
            {
                if (instrument.Meter.Name == Diagnostics.SourceName && instrument.Name == name)
                {
                    listening.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<T>((_, _, tags, _) =>
        {
            if (tags.Contains(new KeyValuePair<string, object?>("messaging.client.id", clientId)))
            {
                heard();
            }
        });
        listener.Start();
        return listener;
    }

    public void Dispose()
    {
        _activities.Dispose();
        _meters.Dispose();
    }

    private void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        _measured.Enqueue(new Measured(instrument.Name, instrument.Unit, value, tags.ToArray().ToDictionary(tag => tag.Key, tag => tag.Value)));

    public sealed record Measured(string Name, string? Unit, double Value, IReadOnlyDictionary<string, object?> Tags);
}
