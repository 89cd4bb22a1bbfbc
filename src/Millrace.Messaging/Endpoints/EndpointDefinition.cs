using System.Collections.Frozen;

namespace Millrace;

/// <summary>One message type at one endpoint.</summary>
internal sealed record EndpointHandler(MessageDefinition Message, HandlerDefinition Handler);

/// <summary>An endpoint as it runs: what it handles, and what it makes of everything else on its topics.</summary>
internal sealed class EndpointDefinition
{
    private readonly FrozenDictionary<string, EndpointHandler> _handlers;
    private readonly FrozenDictionary<string, string> _handledVersions;
    private readonly FrozenSet<string> _commandTopics;

    public EndpointDefinition(string name, int maxConcurrency, DeliveryMode delivery, Dictionary<string, EndpointHandler> handlers,
        Dictionary<Type, FailurePolicy>? failures = null, string topicPrefix = "")
    {
        Name = name;
        GroupId = topicPrefix + name;
        MaxConcurrency = maxConcurrency;
        Delivery = delivery;
        Failures = failures ?? [];
        _handlers = handlers.ToFrozenDictionary();
        _handledVersions = handlers.Values
            .GroupBy(handler => handler.Message.Name)
            .ToFrozenDictionary(group => group.Key, group => string.Join(", ", group.Select(handler => handler.Message.Version).Order()));
        _commandTopics = handlers.Values
            .Where(handler => handler.Message.Kind == MessageKind.Command)
            .Select(handler => handler.Message.Topic)
            .ToFrozenSet();
        Topics = [.. handlers.Values.Select(handler => handler.Message.Topic).Distinct().Order(StringComparer.Ordinal)];
    }

    public string Name { get; }

    /// <summary>Its consumer group.</summary>
    public string GroupId { get; }

    public string DeadLetterTopic => DeadLetters.TopicOf(GroupId);

    public int MaxConcurrency { get; }

    public DeliveryMode Delivery { get; }

    public IReadOnlyDictionary<Type, FailurePolicy> Failures { get; }

    public IReadOnlyList<string> Topics { get; }

    public IEnumerable<EndpointHandler> Handlers => _handlers.Values;

    /// <summary>Whether the endpoint takes a message of the type, on the topic, as a command: what may be answered.</summary>
    public bool TakesAsCommand(string? typeName, string topic) => typeName is not null && _handlers.TryGetValue(typeName, out EndpointHandler? handler)
        ? handler.Message.Kind == MessageKind.Command
        : _commandTopics.Contains(topic);

    /// <summary>
    /// What the endpoint does with a message of the type, on the topic. An event that it does not handle is somebody
    /// else's. A command that nobody is known to handle, and a version that this program does not know of a message that
    /// it does handle, are failures: skipping those would lose them silently.
    /// </summary>
    public Routing Route(string? typeName, string topic, Topology topology)
    {
        bool isCommandTopic = _commandTopics.Contains(topic);
        if (typeName is null)
        {
            return isCommandTopic
                ? new Routing.Unreadable($"it has no {EnvelopeHeaders.Type} header. Whoever writes to a command topic must write CloudEvents in binary mode (docs/concepts/messages.md)")
                : Routing.SkipUntyped;
        }

        if (_handlers.TryGetValue(typeName, out EndpointHandler? handler)) return new Routing.Handle(handler);

        if (MessageDefinition.TryParseTypeName(typeName, out string name, out int version) && _handledVersions.TryGetValue(name, out string? versions))
            return new Routing.Unreadable($"it is version {version} of {name}, and the endpoint handles version {versions}. Add a handler for that version");

        if (!isCommandTopic || topology.IsKnown(typeName)) return Routing.SkipUnhandled;
        return new Routing.Unreadable(
            $"nobody here handles {typeName}. Add a handler to an endpoint of this application, or, if another application handles it, call millrace.HandledElsewhere<T>() or give the command a topic of its own");
    }
}

/// <summary>What an endpoint does with a record: a closed set.</summary>
internal abstract record Routing
{
    private Routing()
    {
    }

    public static Routing SkipUnhandled { get; } = new Skip("unhandled");

    public static Routing SkipUntyped { get; } = new Skip("untyped");

    /// <summary>The endpoint handles it.</summary>
    public sealed record Handle(EndpointHandler Handler) : Routing;

    /// <summary>It is not for this endpoint.</summary>
    public sealed record Skip(string Reason) : Routing;

    /// <summary>It is for this endpoint, which cannot read it.</summary>
    public sealed record Unreadable(string Problem) : Routing;
}
