using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Millrace.Kafka;
using Millrace.Log;

namespace Millrace.Testing;

/// <summary>One life of the application: from a start on a disk to a stop, or until the machine goes down.</summary>
internal sealed class Machine
{


    /// <summary>How long handlers may take to heed their cancellation, before they are left behind.</summary>
    private static readonly TimeSpan s_handlersPatience = TimeSpan.FromSeconds(2);

    private readonly SimulatedStorage _storage;
    private readonly MachineDisk _disk;
    private readonly MachineTime _time;
    private readonly VirtualTime _applicationTime;
    private readonly IHost _host;
    private readonly Lock _gate = new();
    private KafkaClient? _client;
    private SimulatedStorage? _left;
    private Task? _ending;

    private Machine(SimulatedStorage storage, VirtualTime applicationTime, int number, TestHostOptions options, Action<MillraceBuilder> configure)
    {
        _storage = storage;
        _applicationTime = applicationTime;
        _time = new MachineTime(TimeProvider.System, applicationTime);
        _disk = new MachineDisk(storage);
        _host = Build(number, options, configure);
        Json = _host.Services.GetRequiredService<IOptions<MessagingOptions>>().Value.Json;
        Activity = _host.Services.GetRequiredService<MessagingActivity>();
        WentDown = WatchAsync();
    }

    public IServiceProvider Services => _host.Services;

    public SimulatedStorage Storage => _storage;

    /// <summary>Completes when the machine has gone down, and nothing of it runs any more.</summary>
    public Task WentDown { get; }

    public bool IsDown => _storage.IsDown;

    public MessagingActivity Activity { get; }

    /// <summary>How bodies are written and read.</summary>
    public JsonSerializerOptions Json { get; }

    public LogReader Log
    {
        get
        {
            lock (_gate)
            {
                _client ??= new KafkaClient(
                    Services.GetRequiredService<EmbeddedBroker>().CreateClientOptions(), _time, Services.GetRequiredService<ILoggerFactory>());
                return new LogReader(_client);
            }
        }
    }

    /// <summary>Makes a machine that has not started yet.</summary>
    /// <param name="storage">Its disk, as the last machine left it.</param>
    /// <param name="applicationTime">The application's clock.</param>
    /// <param name="number">Which machine this is on its disk, from 1.</param>
    /// <param name="options">The test's options.</param>
    /// <param name="configure">The application.</param>
    public static Machine Create(SimulatedStorage storage, VirtualTime applicationTime, int number, TestHostOptions options, Action<MillraceBuilder> configure) =>
        new(storage, applicationTime, number, options, configure);

    public Task StartAsync(CancellationToken cancellationToken) => _host.StartAsync(cancellationToken);

    /// <summary>Cuts the power. Nothing is written or acknowledged from here on; what runs is told to end.</summary>
    public void CutPower()
    {
        lock (_gate) _left ??= _storage.Crash(SimulatedCrashKind.PowerLoss);
        _disk.ReportDown();
    }

    /// <summary>Waits until nothing of the machine runs any more, and returns its disk as the next start finds it.</summary>
    public async Task<SimulatedStorage> TakeDiskAsync()
    {
        CutPower();
        await EndAsync();
        return _left!;
    }

    /// <summary>Stops as an application does that is asked to, and returns its disk.</summary>
    public async Task<SimulatedStorage> StopAsync(CancellationToken cancellationToken)
    {
        await _host.StopAsync(cancellationToken);
        lock (_gate) _left ??= _storage.Crash(IsDown ? SimulatedCrashKind.PowerLoss : SimulatedCrashKind.ProcessKill);
        await EndAsync();
        return _left!;
    }

    /// <summary>Nothing of the machine runs any more after this, unless it does not heed its cancellation.</summary>
    public Task EndAsync()
    {
        lock (_gate) return _ending ??= Task.Run(EndCoreAsync);
    }

    private async Task EndCoreAsync()
    {
        // The connections first: whatever the application still does, nobody hears of it any more.
        Services.GetRequiredService<EmbeddedBroker>().Abort();
        _time.End();
        _applicationTime.ForgetTimers();
        if (_host is IAsyncDisposable host) await host.DisposeAsync();
        using CancellationTokenSource patience = new(s_handlersPatience, TimeProvider.System);
        await Activity.WaitUntilIdleAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        KafkaClient? client;
        lock (_gate) client = _client;
        if (client is not null) await client.DisposeAsync();
    }

    private async Task WatchAsync()
    {
        await _disk.WentDown;
        await EndAsync();
    }

    private IHost Build(int number, TestHostOptions options, Action<MillraceBuilder> configure)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = options.ApplicationName });
        if (options.Log is { } log) builder.Logging.SetMinimumLevel(options.MinimumLogLevel).AddProvider(new LineLoggerProvider(log, () => IsDown || _ending is not null));
        options.ConfigureHost?.Invoke(builder);
        builder.AddMillrace(configure);

        // After the application's own: what it runs on elsewhere does not matter here.
        builder.Services.Replace(ServiceDescriptor.Singleton<TimeProvider>(_applicationTime));
        builder.AddMillrace(millrace =>
        {
            millrace.WithoutLog().UseEmbedded(embedded => (embedded.DataDirectory, embedded.Storage, embedded.Listen) = ("/data", _disk, null));
            millrace.Configure(messaging =>
            {
                messaging.InfrastructureTime = _time;

                // Another seed each time: a program that starts again must not give new messages the ids of old ones.
                messaging.RandomSeed = unchecked((options.Seed * 397) ^ number) & int.MaxValue;
            });
        });
        return builder.Build();
    }
}
