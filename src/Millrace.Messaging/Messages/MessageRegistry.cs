using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace Millrace;

/// <summary>
/// The message types that the application knows, by .NET type and by name on the wire: one to one, so that a name on the
/// wire means one thing.
/// </summary>
/// <param name="topicPrefix">What the application puts before the names of topics and groups.</param>
internal sealed class MessageRegistry(string topicPrefix = "")
{
    private readonly ConcurrentDictionary<Type, MessageDefinition> _byType = new();
    private readonly ConcurrentDictionary<string, MessageDefinition> _byTypeName = new();
    private readonly ConcurrentDictionary<string, MessageDefinition> _byName = new();

    public string TopicPrefix { get; } = topicPrefix;

    public ICollection<MessageDefinition> Definitions => _byType.Values;

    /// <summary>What <paramref name="type"/> declares, registered at its first use.</summary>
    /// <exception cref="MillraceConfigurationException">It declares nothing, or a name that another type has.</exception>
    public MessageDefinition Get(Type type)
    {
        if (_byType.TryGetValue(type, out MessageDefinition? known)) return known;

        MessageDefinition definition = MessageDefinition.Of(type, TopicPrefix);
        MessageDefinition sameType = _byTypeName.GetOrAdd(definition.TypeName, definition);
        if (sameType.ClrType != type)
        {
            throw new MillraceConfigurationException(
                $"{sameType.ClrType.FullName} and {type.FullName} are both named {definition.TypeName}. Give one of them another name or version, or share one type.");
        }

        MessageDefinition sameName = _byName.GetOrAdd(definition.Name, definition);
        if (sameName.Kind != definition.Kind)
        {
            (MessageDefinition @event, MessageDefinition command) =
                definition.Kind == MessageKind.Event ? (definition, sameName) : (sameName, definition);
            throw new MillraceConfigurationException(
                $"'{definition.Name}' is an event in {@event.ClrType.FullName} and a command in {command.ClrType.FullName}. Versions of one name are of one kind: rename one of them.");
        }

        return _byType.GetOrAdd(type, sameType);
    }

    public bool TryFind(string typeName, [NotNullWhen(true)] out MessageDefinition? definition) =>
        _byTypeName.TryGetValue(typeName, out definition);
}
