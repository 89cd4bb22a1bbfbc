using System.Runtime.CompilerServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Millrace;

/// <summary>
/// One endpoint: a name, which is its Kafka consumer group, and the handlers that share its position in the log. Every
/// instance of the application that runs the endpoint shares its work.
/// </summary>
public sealed class EndpointBuilder
{
    private readonly IServiceCollection _services;
    private readonly List<Func<IReadOnlyList<HandlerDefinition>>> _handlers = [];
    private readonly List<Type> _handlerClasses = [];

    internal EndpointBuilder(string name, IServiceCollection services)
    {
        Name = name;
        _services = services;
    }

    /// <summary>
    /// The endpoint's name and consumer group. It is stored in the log: another name is another endpoint, which starts at
    /// the beginning.
    /// </summary>
    public string Name { get; }

    /// <summary>
    /// The most messages that the endpoint handles at once in this process, over all its partitions. Messages of one key
    /// are handled one after the other whatever the limit. Default: 32. From 1 to 10,000.
    /// </summary>
    public int MaxConcurrency { get; set; } = 32;

    /// <summary>What happens to messages under way in a crash. Default: <see cref="DeliveryMode.AtLeastOnce"/>.</summary>
    public DeliveryMode Delivery { get; set; } = DeliveryMode.AtLeastOnce;

    /// <summary>What happens to a message whose handler throws. Default: ten retries over about two minutes, then a dead letter.</summary>
    public FailurePolicies Failures { get; } = new();

    /// <summary>
    /// Adds the handlers of a class: its public methods named <c>HandleAsync</c>, which take the message and, if they like,
    /// a <see cref="MessageContext"/> and a <see cref="CancellationToken"/>, and return a task, with a
    /// <see cref="Reply{T}"/> for commands that ask for one. An instance is made for each message, in a scope of its own.
    /// </summary>
    /// <typeparam name="THandlers">The class. It is registered as a scoped service unless it is registered already.</typeparam>
    /// <returns>This endpoint.</returns>
    public EndpointBuilder AddHandlers<THandlers>()
        where THandlers : class
    {
        _services.TryAddScoped<THandlers>();
        _handlers.Add(() => HandlerDiscovery.Find(typeof(THandlers)));
        _handlerClasses.Add(typeof(THandlers));
        return this;
    }

    /// <summary>Handles a message with a lambda.</summary>
    /// <typeparam name="TMessage">The event, or the command that asks for no reply of its own.</typeparam>
    /// <param name="handler">
    /// Handles one message. The token is cancelled when the message's partition moves to another instance, and when the
    /// host stops and does not wait any longer.
    /// </param>
    /// <returns>This endpoint.</returns>
    public EndpointBuilder Handle<TMessage>(Func<TMessage, MessageContext, CancellationToken, Task> handler)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        _handlers.Add(() => [HandlerDiscovery.OfLambda(handler, Name)]);
        return this;
    }

    /// <summary>Handles a command with a lambda that may refuse it.</summary>
    /// <typeparam name="TMessage">The command.</typeparam>
    /// <param name="handler">Handles one command: returns <see cref="Reply.Done"/>, or <see cref="Reply.Reject"/>. The token is cancelled when its partition moves to another instance.</param>
    /// <returns>This endpoint.</returns>
    public EndpointBuilder Handle<TMessage>(Func<TMessage, MessageContext, CancellationToken, Task<Reply>> handler)
        where TMessage : notnull => Handle((Func<TMessage, MessageContext, CancellationToken, Task>)handler);

    /// <summary>Handles a message with a lambda that needs the message alone.</summary>
    /// <typeparam name="TMessage">The event, or the command that asks for no reply of its own.</typeparam>
    /// <param name="handler">Handles one message, which counts as done when the task has completed.</param>
    /// <returns>This endpoint.</returns>
    public EndpointBuilder Handle<TMessage>(Func<TMessage, Task> handler)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Handle((TMessage message, MessageContext _, CancellationToken _) => handler(message));
    }

    /// <summary>Handles a command with a lambda that needs the command alone and may refuse it.</summary>
    /// <typeparam name="TMessage">The command.</typeparam>
    /// <param name="handler">Handles one command: returns <see cref="Reply.Done"/>, or <see cref="Reply.Reject"/>.</param>
    /// <returns>This endpoint.</returns>
    public EndpointBuilder Handle<TMessage>(Func<TMessage, Task<Reply>> handler)
        where TMessage : notnull => Handle((Func<TMessage, Task>)handler);

    /// <inheritdoc cref="Handle{TMessage}(Func{TMessage, Task})"/>
    [OverloadResolutionPriority(-1)] // An async lambda fits both, and is a Task.
    public EndpointBuilder Handle<TMessage>(Func<TMessage, ValueTask> handler)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Handle((TMessage message, MessageContext _, CancellationToken _) => handler(message).AsTask());
    }

    /// <inheritdoc cref="Handle{TMessage}(Func{TMessage, Task{Reply}})"/>
    [OverloadResolutionPriority(-1)]
    public EndpointBuilder Handle<TMessage>(Func<TMessage, ValueTask<Reply>> handler)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Handle((TMessage message, MessageContext _, CancellationToken _) => handler(message).AsTask());
    }

    /// <summary>Handles a command with a lambda that has nothing to wait for and may refuse it.</summary>
    /// <typeparam name="TMessage">The command.</typeparam>
    /// <param name="handler">Handles one command: returns <see cref="Reply.Done"/>, or <see cref="Reply.Reject"/>.</param>
    /// <returns>This endpoint.</returns>
    [OverloadResolutionPriority(-1)] // A call that refuses fits one that returns nothing as well, and nobody would hear of it.
    public EndpointBuilder Handle<TMessage>(Func<TMessage, Reply> handler)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Handle((TMessage message, MessageContext _, CancellationToken _) => Task.FromResult(handler(message)));
    }

    /// <summary>Handles a command with a lambda that answers.</summary>
    /// <typeparam name="TCommand">The command.</typeparam>
    /// <typeparam name="TReply">What it asks for.</typeparam>
    /// <param name="handler">Handles one command. The token is cancelled when its partition moves to another instance.</param>
    /// <returns>This endpoint.</returns>
    public EndpointBuilder Handle<TCommand, TReply>(Func<TCommand, MessageContext, CancellationToken, Task<Reply<TReply>>> handler)
        where TCommand : ICommand<TReply>
    {
        ArgumentNullException.ThrowIfNull(handler);
        _handlers.Add(() =>
        [
            new HandlerDefinition(typeof(TCommand), "a lambda", async (message, context, cancellationToken) =>
            {
                Reply<TReply> reply = await handler((TCommand)message, context, cancellationToken);
                return reply.IsRejected ? new HandlerAnswer(null, reply.Rejection) : new HandlerAnswer(reply.Value, null);
            }),
        ]);
        return this;
    }

    /// <summary>Handles a message with a lambda that has nothing to wait for.</summary>
    /// <typeparam name="TMessage">The event or command.</typeparam>
    /// <param name="handler">Handles one message.</param>
    /// <returns>This endpoint.</returns>
    [OverloadResolutionPriority(-2)] // An expression that gives something to wait for fits as well, and nobody would wait for it.
    public EndpointBuilder Handle<TMessage>(Action<TMessage> handler)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Handle((TMessage message, MessageContext _, CancellationToken _) =>
        {
            handler(message);
            return Task.CompletedTask;
        });
    }

    /// <summary>Why the container cannot make classes of handlers, of those that it makes by their constructors.</summary>
    internal IEnumerable<string> FindUnmakeable(IServiceProviderIsService known) =>
        from handlers in _handlerClasses
        let made = _services.LastOrDefault(service => !service.IsKeyedService && service.ServiceType == handlers)?.ImplementationType
        where made is not null
        let problem = HandlerDiscovery.ConstructionProblem(made, known)
        where problem is not null
        select $"{problem} (Handlers at the endpoint '{Name}'.)";

    /// <summary>Reads the endpoint as it was built; what is wrong with it goes to <paramref name="problems"/>.</summary>
    internal EndpointDefinition Build(MessageRegistry registry, List<string> problems)
    {
        if (!TopicName.IsValid(Name)) problems.Add($"The endpoint name '{Name}' is not valid. {TopicName.Rule}");
        else if (DeadLetters.TopicOf(registry.TopicPrefix + Name) is { } letters && !TopicName.IsValid(letters)) problems.Add($"The endpoint name '{Name}' is too long: its dead letters are kept in '{letters}', and topic names have at most {TopicName.MaximumLength} characters.");
        if (MaxConcurrency is < 1 or > 10_000)
            problems.Add($"MaxConcurrency of the endpoint '{Name}' is {MaxConcurrency}. It goes from 1 to 10,000.");
        if (!Enum.IsDefined(Delivery)) problems.Add($"Delivery of the endpoint '{Name}' is {(int)Delivery}, which is no delivery mode.");
        if (_handlers.Count == 0)
            problems.Add($"The endpoint '{Name}' has no handler. Call endpoint.AddHandlers<T>() or endpoint.Handle<T>(...), or remove the endpoint.");

        Dictionary<string, EndpointHandler> handlers = [];
        foreach (Func<IReadOnlyList<HandlerDefinition>> find in _handlers)
        {
            try
            {
                foreach (HandlerDefinition handler in find()) Add(handlers, handler, registry, problems);
            }
            catch (MillraceConfigurationException failure)
            {
                problems.AddRange(failure.Problems);
            }
        }

        return new EndpointDefinition(Name, MaxConcurrency, Delivery, handlers, Failures.Build(Name, Delivery, problems), registry.TopicPrefix);
    }

    private void Add(
        Dictionary<string, EndpointHandler> handlers, HandlerDefinition handler, MessageRegistry registry, List<string> problems)
    {
        MessageDefinition message;
        try
        {
            message = registry.Get(handler.MessageType);
        }
        catch (MillraceConfigurationException failure)
        {
            problems.AddRange(failure.Problems.Select(problem => $"{problem} (Handled by {handler.Name} at the endpoint '{Name}'.)"));
            return;
        }

        if (handlers.TryGetValue(message.TypeName, out EndpointHandler? other))
        {
            problems.Add(
                $"The endpoint '{Name}' handles {message.TypeName} twice: by {other.Handler.Name} and by {handler.Name}. Move one to an endpoint of its own, so that each is retried alone.");
            return;
        }

        handlers.Add(message.TypeName, new EndpointHandler(message, handler));
    }
}
