using System.Collections.Frozen;

namespace Millrace;

/// <summary>Which endpoint of the application handles what, checked as a whole.</summary>
internal sealed class Topology
{
    private readonly MessageRegistry _registry;
    private readonly FrozenSet<Type> _handledElsewhere;
    private readonly FrozenSet<Type> _handledCommands;

    private Topology(MessageRegistry registry, IReadOnlyList<EndpointDefinition> endpoints, FrozenSet<Type> handledElsewhere)
    {
        _registry = registry;
        _handledElsewhere = handledElsewhere;
        Endpoints = endpoints;
        _handledCommands = endpoints
            .SelectMany(endpoint => endpoint.Handlers)
            .Where(handler => handler.Message.Kind == MessageKind.Command)
            .Select(handler => handler.Message.ClrType)
            .ToFrozenSet();
    }

    public IReadOnlyList<EndpointDefinition> Endpoints { get; }

    /// <summary>The topics of every message that is known when the host starts.</summary>
    public IEnumerable<string> Topics => _registry.Definitions.Select(definition => definition.Topic).Distinct();

    /// <summary>Builds the endpoints, and checks them and what was found before (<paramref name="problems"/>).</summary>
    /// <exception cref="MillraceConfigurationException">Everything that is wrong, in one exception.</exception>
    public static Topology Build(
        MessageRegistry registry, IReadOnlyCollection<EndpointBuilder> endpointBuilders, IReadOnlyCollection<Type> handledElsewhere, List<string> problems,
        IReadOnlyCollection<ProcessorOptions>? processors = null)
    {
        List<EndpointDefinition> endpoints = [.. endpointBuilders.Select(builder => builder.Build(registry, problems))];
        foreach (string name in endpoints.GroupBy(endpoint => endpoint.Name).Where(group => group.Count() > 1).Select(group => group.Key))
            problems.Add($"Two endpoints are named '{name}'. Rename one, or add the handlers of both to one endpoint.");
        foreach (ProcessorOptions processor in processors ?? []) processor.Check(problems);
        foreach (string name in (processors ?? []).Select(processor => processor.Name).CountBy(name => name).Where(count => count.Value > 1).Select(count => count.Key))
            problems.Add($"Two processors are named '{name}'. A name is one consumer group: rename one.");
        foreach (string name in (processors ?? []).Select(processor => processor.Name).Intersect(endpoints.Select(endpoint => endpoint.Name)))
            problems.Add($"An endpoint and a processor are both named '{name}'. A name is one consumer group: rename one.");

        var commands = endpoints
            .SelectMany(endpoint => endpoint.Handlers.Select(handler => (Endpoint: endpoint.Name, handler.Message)))
            .Where(handled => handled.Message.Kind == MessageKind.Command)
            .GroupBy(handled => handled.Message)
            .ToList();
        foreach (var command in commands.Where(command => command.Count() > 1))
        {
            problems.Add(
                $"The command {command.Key} is handled by {command.Count()} endpoints: {string.Join(" and ", command.Select(handled => $"'{handled.Endpoint}'"))}. A command has exactly one handler: remove the others, or publish an event.");
        }

        foreach (Type type in handledElsewhere) CheckHandledElsewhere(type, registry, commands.Select(command => command.Key), problems);

        if (problems.Count > 0) throw new MillraceConfigurationException(problems);
        return new Topology(registry, endpoints, handledElsewhere.ToFrozenSet());
    }

    /// <summary>Whether a command reaches a handler: in this application, or declared as handled elsewhere.</summary>
    public bool IsHandled(MessageDefinition command) =>
        _handledCommands.Contains(command.ClrType) || _handledElsewhere.Contains(command.ClrType);

    /// <summary>Whether the type on the wire is one that the application knows a handler for.</summary>
    public bool IsKnown(string typeName) =>
        _registry.TryFind(typeName, out MessageDefinition? definition) && (definition.Kind == MessageKind.Event || IsHandled(definition));

    private static void CheckHandledElsewhere(
        Type type, MessageRegistry registry, IEnumerable<MessageDefinition> handledHere, List<string> problems)
    {
        try
        {
            MessageDefinition definition = registry.Get(type);
            if (definition.Kind != MessageKind.Command)
                problems.Add($"HandledElsewhere<{type.Name}>() is for commands, and {type.FullName} is an event. Remove the call: an event needs no handler.");
            else if (handledHere.Contains(definition))
                problems.Add($"The command {definition} is declared as handled elsewhere, and an endpoint of this application handles it. Remove one of the two.");
        }
        catch (MillraceConfigurationException failure)
        {
            problems.AddRange(failure.Problems);
        }
    }
}
