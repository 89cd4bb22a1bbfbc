using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Millrace.Kafka;

/// <summary>What every part of one client shares.</summary>
internal sealed record ClientContext(
    ClientSettings Settings,
    IKafkaConnector Connector,
    TimeProvider Time,
    ILoggerFactory Loggers,
    Chance Chance)
{
    public Backoff RetryBackoff { get; } = new(Settings.RetryBackoff, Settings.RetryBackoffMax, Chance);

    public Backoff ReconnectBackoff { get; } = new(Settings.ReconnectBackoff, Settings.ReconnectBackoffMax, Chance);

    /// <summary>How long attempts to connect may take: longer with each failure in a row (KIP-601).</summary>
    public Backoff ConnectTimeout { get; } = new(Settings.ConnectTimeout, Settings.ConnectTimeoutMax, Chance);

    /// <summary>What connections log in with; null where they do not.</summary>
    public SaslLogin? Login { get; } = Settings.Security.Sasl is { } sasl ? new SaslLogin(sasl, Time, Chance, Loggers.CreateLogger<SaslLogin>()) : null;

    public AuthenticationRefusals Refusals { get; } = new(Time, Chance);

    /// <summary>
    /// The first thing that whatever runs in the background awaits: it leaves the caller's locks, and the caller's synchronization context as well. A user interface that is busy must not
    /// hold up a heartbeat.
    /// </summary>
    public ConfiguredTaskAwaitable BeginAsync() => Task.CompletedTask.ConfigureAwait(
        ConfigureAwaitOptions.ForceYielding | (Settings.KeepsCallersContext ? ConfigureAwaitOptions.ContinueOnCapturedContext : ConfigureAwaitOptions.None));

    /// <summary>Leaves the caller's synchronization context, for what goes on within a call of the client and is not the caller's. Dispose of what it returns to go back.</summary>
    public CallersContext LeaveCallersContext() => new(Settings.KeepsCallersContext ? null : SynchronizationContext.Current);

    public readonly ref struct CallersContext
    {
        private readonly SynchronizationContext? _callers;

        public CallersContext(SynchronizationContext? callers)
        {
            _callers = callers;
            if (callers is not null)
            {
                SynchronizationContext.SetSynchronizationContext(null);
            }
        }

        public void Dispose()
        {
            if (_callers is not null)
            {
                SynchronizationContext.SetSynchronizationContext(_callers);
            }
        }
    }
}
