using System.Reflection;

namespace Millrace;

internal enum MessageKind
{
    Event,
    Command,
}

/// <summary>What a message type declares: its name on the wire, its topic and its key.</summary>
internal sealed class MessageDefinition
{
    private MessageDefinition(Type clrType, MessageKind kind, string name, int version, string topic, KeyProperty? key)
    {
        ClrType = clrType;
        Kind = kind;
        Name = name;
        Version = version;
        Topic = topic;
        Key = key;
        TypeName = $"{name}.v{version}";
        ReplyType = clrType.GetInterfaces()
            .FirstOrDefault(type => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ICommand<>))
            ?.GetGenericArguments()[0];
    }

    public Type ClrType { get; }

    public MessageKind Kind { get; }

    /// <summary>The name without the version: <c>shop.order-created</c>.</summary>
    public string Name { get; }

    public int Version { get; }

    /// <summary>What stands in <c>ce_type</c>: <c>shop.order-created.v1</c>.</summary>
    public string TypeName { get; }

    public string Topic { get; }

    public KeyProperty? Key { get; }

    /// <summary>What the command's handler answers with; null for events and for commands without an answer.</summary>
    public Type? ReplyType { get; }

    /// <summary>Reads what <paramref name="type"/> declares; its topic gets the prefix.</summary>
    /// <exception cref="MillraceConfigurationException">The type declares nothing, or something impossible.</exception>
    public static MessageDefinition Of(Type type, string topicPrefix = "")
    {
        EventAttribute? @event = type.GetCustomAttribute<EventAttribute>(inherit: false);
        CommandAttribute? command = type.GetCustomAttribute<CommandAttribute>(inherit: false);
        (MessageKind kind, string name, int version, string? declaredTopic) = (@event, command) switch
        {
            ({ } e, null) => (MessageKind.Event, e.Name, e.Version, e.Topic),
            (null, { } c) => (MessageKind.Command, c.Name, c.Version, c.Topic),
            (null, null) => throw new MillraceConfigurationException(
                $"{type.FullName} is not a message: it has neither [Event] nor [Command]. Put for example [Event(\"shop.order-created\")] on it."),
            _ => throw new MillraceConfigurationException(
                $"{type.FullName} is both an event and a command. Keep one of [Event] and [Command]."),
        };
        if (!TopicName.IsValid(name))
            throw new MillraceConfigurationException($"The message name '{name}' of {type.FullName} is not valid. {TopicName.Rule}");
        if (version < 1)
            throw new MillraceConfigurationException($"The version {version} of {type.FullName} is not valid. Versions count from 1.");

        string topic = topicPrefix + (declaredTopic ?? DefaultTopic(kind, name));
        if (!TopicName.IsValid(topic))
            throw new MillraceConfigurationException($"The topic '{topic}' of {type.FullName} is not valid. {TopicName.Rule}");
        if (type.GetInterfaces().Count(i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(ICommand<>)) > 1)
            throw new MillraceConfigurationException($"{type.FullName} implements ICommand<TReply> more than once. A command has one kind of reply.");

        MessageDefinition definition = new(type, kind, name, version, topic, KeyProperty.Of(type));
        if (kind == MessageKind.Event && definition.ReplyType is not null)
            throw new MillraceConfigurationException($"{type.FullName} is an event and implements ICommand<TReply>. An event has no reply: make it a [Command], or remove the interface.");
        return definition;
    }

    /// <summary>Splits <c>shop.order-created.v2</c>; false when the text has no version at its end.</summary>
    public static bool TryParseTypeName(string typeName, out string name, out int version)
    {
        int dot = typeName.LastIndexOf(".v", StringComparison.Ordinal);
        version = 0;
        name = dot > 0 ? typeName[..dot] : "";
        return dot > 0 && int.TryParse(typeName.AsSpan(dot + 2), System.Globalization.NumberStyles.None, provider: null, out version);
    }

    public override string ToString() => $"{TypeName} ({ClrType.FullName})";

    private static string DefaultTopic(MessageKind kind, string name)
    {
        int dot = name.LastIndexOf('.');
        string area = dot < 0 ? name : name[..dot];
        return area + (kind == MessageKind.Event ? ".events" : ".commands");
    }
}

/// <summary>Kafka's rule for the names of topics, which are also the names of directories.</summary>
internal static class TopicName
{
    public const int MaximumLength = 249;

    public const string Rule = "Names are 1 to 249 letters, digits, '.', '-' or '_', and neither begin nor end with a dot.";

    public static bool IsValid(string? name) =>
        name is { Length: > 0 and <= MaximumLength }
        && name[0] != '.' && name[^1] != '.'
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');
}
