using System.Threading.Channels;

namespace Millrace.Kafka;

/// <summary>
/// Wakes one background loop, at once or at a time. Signals that come while the loop runs are kept, as one: the loop looks at its state
/// after the signal, so none is lost.
/// </summary>
internal sealed class WakeSignal : IDisposable
{
    private readonly Channel<bool> _signals;
    private readonly ITimer _timer;

    /// <summary>A signal that nobody has given yet.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="runsInSet">Whether a loop that waits goes on within <see cref="Set"/>, which must then be called without locks, and not on a thread of its own.</param>
    public WakeSignal(TimeProvider time, bool runsInSet = false)
    {
        _signals = Channel.CreateBounded<bool>(
            new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true, AllowSynchronousContinuations = runsInSet });
        _timer = time.CreateTimer(static state => ((WakeSignal)state!).Set(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public void Set() => _signals.Writer.TryWrite(true);

    /// <summary>Waits for a signal, or for so long; null waits for a signal only.</summary>
    public async ValueTask WaitAsync(TimeSpan? timeout, CancellationToken cancellationToken)
    {
        if (timeout is { } due)
        {
            if (due <= TimeSpan.Zero)
            {
                _signals.Reader.TryRead(out _);
                return;
            }

            // Rounded up: a timer that fires a fraction early finds nothing to do and would spin.
            _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(due.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
        }

        await _signals.Reader.ReadAsync(cancellationToken);
        if (timeout is not null)
        {
            _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose() => _timer.Dispose();
}
