using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

namespace Millrace;

/// <summary>What an application says about its messaging: which log, which endpoints, which options.</summary>
/// <remarks>Everything is checked when the host starts; then one exception lists all that is wrong.</remarks>
public sealed class MillraceBuilder
{
    private readonly List<EndpointBuilder> _endpoints = [];
    private readonly List<ProcessorOptions> _processors = [];
    private readonly List<Type> _handledElsewhere = [];
    private readonly List<string> _logNames = [];

    private MillraceBuilder(IServiceCollection services) => Services = services;

    /// <summary>The application's services.</summary>
    public IServiceCollection Services { get; }

    internal LogConnector? LogConnector { get; private set; }

    /// <summary>What was called to have a log, each once: more than one is a mistake.</summary>
    internal IReadOnlyList<string> LogNames => _logNames;

    internal IReadOnlyCollection<EndpointBuilder> Endpoints => _endpoints;

    internal IReadOnlyCollection<ProcessorOptions> Processors => _processors;

    internal IReadOnlyCollection<Type> CommandsHandledElsewhere => _handledElsewhere;

    /// <summary>
    /// Adds messaging to a host's services, or finds what was added before: modules of one application may each add theirs.
    /// </summary>
    /// <param name="services">The services.</param>
    public static MillraceBuilder AddTo(IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (services.FirstOrDefault(service => service.ServiceType == typeof(MillraceBuilder))?.ImplementationInstance is MillraceBuilder added)
            return added;

        MillraceBuilder builder = new(services);
        services.AddOptions<MessagingOptions>();
        services.AddSingleton(builder);
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<MessagePublisher>();
        services.AddSingleton<IMessageBus, MessageBus>();
        services.AddSingleton(new MessagingActivity());
        services.AddSingleton<MessagingService>();
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<MessagingService>());
        return builder;
    }

    /// <summary>Adds an endpoint: a consumer group of this name, with its handlers.</summary>
    /// <param name="name">Letters, digits, <c>.</c>, <c>-</c> and <c>_</c>. It is stored in the log: keep it.</param>
    /// <param name="configure">Adds handlers and sets options.</param>
    /// <returns>This builder.</returns>
    public MillraceBuilder AddEndpoint(string name, Action<EndpointBuilder> configure)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(configure);
        EndpointBuilder endpoint = new(name, Services);
        configure(endpoint);
        _endpoints.Add(endpoint);
        return this;
    }

    /// <summary>
    /// Adds a processor: a consumer group whose records go to a <see cref="PartitionProcessor"/> instead of handlers. For
    /// packages that build on messaging.
    /// </summary>
    /// <param name="options">The processor and its topics.</param>
    /// <returns>This builder.</returns>
    public MillraceBuilder AddProcessor(ProcessorOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _processors.Add(options);
        return this;
    }

    /// <summary>Declares that another application handles a command, so that it may be sent from here.</summary>
    /// <typeparam name="TCommand">The command.</typeparam>
    /// <returns>This builder.</returns>
    public MillraceBuilder HandledElsewhere<TCommand>()
        where TCommand : notnull
    {
        _handledElsewhere.Add(typeof(TCommand));
        return this;
    }

    /// <summary>Sets options of all messaging.</summary>
    /// <param name="configure">Sets them; called when the host starts.</param>
    /// <returns>This builder.</returns>
    public MillraceBuilder Configure(Action<MessagingOptions> configure)
    {
        Services.Configure(configure);
        return this;
    }

    /// <summary>
    /// Works on a log that the caller brings up. The last call counts; calls with different names are a mistake, which the start of the host tells.
    /// </summary>
    /// <param name="connector">Brings the log up and says how to reach it.</param>
    /// <param name="name">What the application calls to have this log, such as <c>UseKafka</c>.</param>
    /// <returns>This builder.</returns>
    public MillraceBuilder UseLog(LogConnector connector, string name = nameof(UseLog))
    {
        ArgumentNullException.ThrowIfNull(connector);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        LogConnector = connector;
        if (!_logNames.Contains(name)) _logNames.Add(name);
        return this;
    }

    /// <summary>Forgets the log that was named so far: for hosts of tests, which bring one of their own.</summary>
    /// <returns>This builder.</returns>
    public MillraceBuilder WithoutLog()
    {
        LogConnector = null;
        _logNames.Clear();
        return this;
    }
}
