using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Kafka;
using Millrace.Log;

namespace Millrace.Testing;

/// <summary>
/// A whole Millrace application inside a test: its handlers and sagas on the embedded broker, over a simulated disk that keeps
/// only what a real one promises, with a clock that stands still until the test moves it. It can lose its power at any moment,
/// and start again on what the disk kept.
/// </summary>
/// <remarks>
/// <para>What is real: every line of Millrace between a message and the disk, threads included. What is simulated: the disk, the
/// power, and the application's <see cref="TimeProvider"/>, which is <see cref="Time"/>. Sessions between client and broker
/// (heartbeats, time-outs of requests, pauses between commits) run on real time, which no test needs to wait for.</para>
/// <para>The application is configured anew at every start. What the test passes in by instance (a database, a fake gateway, a
/// list) survives a crash, as a database on another machine does; what the application's container makes does not.</para>
/// </remarks>
/// <example><code>
/// await using MillraceTestHost host = await MillraceTestHost.StartAsync(millrace => millrace.AddShop());
/// await host.Sagas.StartAsync&lt;PlaceOrderSaga&gt;("4711", declinedOrder);
/// await host.CrashAndRestartAsync();
/// await host.AdvanceAsync(TimeSpan.FromMinutes(5));
/// await host.WaitUntilQuietAsync();
/// Assert.Single(host.Published&lt;OrderCancelled&gt;());
/// </code></example>
public sealed partial class MillraceTestHost : IAsyncDisposable
{
    private readonly Action<MillraceBuilder> _configure;
    private readonly TestHostOptions _options;
    private Machine _machine;
    private int _machineNumber = 1;

    private MillraceTestHost(Action<MillraceBuilder> configure, TestHostOptions options)
    {
        _configure = configure;
        _options = options;
        Time = new VirtualTime(options.StartTime);
        SimulatedStorage storage = new(options.Seed);
        if (options.CrashAfterOperations is { } count) storage.CrashAfter(count);
        _machine = Machine.Create(storage, Time, _machineNumber, options, configure);
    }

    /// <summary>The running application's services. After a crash they are new ones.</summary>
    public IServiceProvider Services => _machine.Services;

    /// <summary>Publishes events and sends commands, as code outside of handlers does.</summary>
    public IMessageBus Bus => Services.GetRequiredService<IMessageBus>();

    /// <summary>Starts sagas and looks at them.</summary>
    /// <exception cref="InvalidOperationException">The application has no saga.</exception>
    public ISagaClient Sagas => Services.GetService<ISagaClient>()
        ?? throw new InvalidOperationException("The application has no saga. Register one with millrace.AddSaga<TSaga>().");

    /// <summary>The application's clock. It stands still until it is advanced, by itself or by <see cref="AdvanceAsync"/>, and goes on across crashes.</summary>
    public VirtualTime Time { get; }

    /// <summary>Starts an application on an empty disk.</summary>
    /// <param name="configure">
    /// The application's own registrations. Called at every start, so after every crash too. Which log it uses does not matter: the
    /// test's takes its place.
    /// </param>
    /// <param name="configureOptions">Sets options; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up starting.</param>
    /// <returns>The running application. Dispose it to stop it.</returns>
    /// <exception cref="MillraceConfigurationException">The application is not configured right; the message lists all that is wrong.</exception>
    public static async Task<MillraceTestHost> StartAsync(
        Action<MillraceBuilder> configure, Action<TestHostOptions>? configureOptions = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(configure);
        TestHostOptions options = new();
        configureOptions?.Invoke(options);
        MillraceTestHost host = new(configure, options);
        try
        {
            await host.StartMachineAsync(cancellationToken);
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }

        return host;
    }

    /// <summary>
    /// The events of a type that the log holds: each once, however often a handler that ran again wrote it again, since all
    /// copies have one message id. Those of one key come in the order of the log, all of them by their times.
    /// </summary>
    /// <typeparam name="TEvent">A type with <see cref="EventAttribute"/>.</typeparam>
    /// <returns>What is durable and visible now; a machine that is down is started again first. <see cref="Logged{T}"/> tells the copies and the envelopes too.</returns>
    /// <exception cref="ArgumentException">The type is not an event.</exception>
    /// <exception cref="TimeoutException">The log did not answer within <see cref="TestHostOptions.Patience"/>.</exception>
    public IReadOnlyList<TEvent> Published<TEvent>()
        where TEvent : notnull => Once<TEvent>(TypeNameOf<EventAttribute>(typeof(TEvent), @event => (@event.Name, @event.Version)));

    /// <summary>The commands of a type that the log holds: each once, as <see cref="Published{TEvent}"/> has it for events.</summary>
    /// <typeparam name="TCommand">A type with <see cref="CommandAttribute"/>.</typeparam>
    /// <returns>What is durable and visible now; a machine that is down is started again first. <see cref="Logged{T}"/> tells the copies and the envelopes too.</returns>
    /// <exception cref="ArgumentException">The type is not a command.</exception>
    /// <exception cref="TimeoutException">The log did not answer within <see cref="TestHostOptions.Patience"/>.</exception>
    public IReadOnlyList<TCommand> Sent<TCommand>()
        where TCommand : notnull => Once<TCommand>(TypeNameOf<CommandAttribute>(typeof(TCommand), command => (command.Name, command.Version)));

    /// <summary>Every record of an event or command that the log holds, with its envelope; one that was written twice is here twice.</summary>
    /// <typeparam name="T">A type with <see cref="EventAttribute"/> or <see cref="CommandAttribute"/>.</typeparam>
    /// <returns>What is durable and visible now; dead letters are not among them.</returns>
    /// <exception cref="ArgumentException">The type is neither.</exception>
    /// <exception cref="TimeoutException">The log did not answer within <see cref="TestHostOptions.Patience"/>.</exception>
    public IReadOnlyList<LoggedMessage<T>> Logged<T>()
        where T : notnull => Read<T>(typeof(T).IsDefined(typeof(EventAttribute), inherit: false)
            ? TypeNameOf<EventAttribute>(typeof(T), @event => (@event.Name, @event.Version))
            : TypeNameOf<CommandAttribute>(typeof(T), command => (command.Name, command.Version)));

    /// <summary>The messages that an endpoint gave up on: what its dead-letter topic holds, each message once.</summary>
    /// <param name="endpoint">The endpoint's name.</param>
    /// <returns>What is durable and visible now.</returns>
    /// <exception cref="TimeoutException">The log did not answer within <see cref="TestHostOptions.Patience"/>.</exception>
    public IReadOnlyList<LoggedDeadLetter> DeadLetters(string endpoint)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(endpoint);
        return
        [
            .. ReadRecords(record => record.TopicPartition.Topic == endpoint + DeadLetterSuffix)
                .Select(LogReader.ToDeadLetter)
                .DistinctBy(letter => letter.MessageId),
        ];
    }

    /// <summary>Ends the application at once, as a crash does, and forgets its disk.</summary>
    public async ValueTask DisposeAsync() => await _machine.EndAsync();

    private const string DeadLetterSuffix = ".dead-letters";

    private static string TypeNameOf<TAttribute>(Type type, Func<TAttribute, (string Name, int Version)> read)
        where TAttribute : Attribute
    {
        TAttribute attribute = type.GetCustomAttribute<TAttribute>(inherit: false)
            ?? throw new ArgumentException($"{type.FullName} has no [{typeof(TAttribute).Name[..^nameof(Attribute).Length]}].", nameof(type));
        (string name, int version) = read(attribute);
        return $"{name}.v{version}";
    }

    private List<T> Once<T>(string typeName)
        where T : notnull => [.. Read<T>(typeName).DistinctBy(message => message.MessageId).Select(message => message.Message)];

    private List<LoggedMessage<T>> Read<T>(string typeName)
        where T : notnull
    {
        List<ConsumerRecord> records = ReadRecords(record =>
            Envelope.Read(record).Type == typeName && !record.TopicPartition.Topic.EndsWith(DeadLetterSuffix, StringComparison.Ordinal));
        return [.. records.Select(record => LogReader.ToMessage<T>(record, _machine.Json))];
    }

    private List<ConsumerRecord> ReadRecords(Func<ConsumerRecord, bool> isWanted)
    {
        // Blocks, so that an assertion reads as one. On the pool, where nothing waits for this thread; bounded.
        using CancellationTokenSource deadline = new(_options.Patience, TimeProvider.System);
        try
        {
            return Task.Run(() => ReadRecordsAsync(isWanted, deadline.Token), deadline.Token).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException late)
        {
            throw new TimeoutException($"The log could not be read within {_options.Patience}.", late);
        }
    }

    private async Task<List<ConsumerRecord>> ReadRecordsAsync(Func<ConsumerRecord, bool> isWanted, CancellationToken cancellationToken)
    {
        List<ConsumerRecord> records = [];
        await ThroughCrashesAsync(async host => records = await host._machine.Log.ReadAsync(isWanted, cancellationToken), cancellationToken);
        return records;
    }
}
