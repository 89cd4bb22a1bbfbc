using System.Reflection;

namespace Millrace;

/// <summary>A registered saga: its name, its version, and how to run its code.</summary>
internal sealed record SagaDefinition(string Name, int Version, Type SagaType, Type InputType, Func<object, SagaContext, Task<object?>> Run)
{
    /// <summary>What the application puts before the names of its topics.</summary>
    public string TopicPrefix { get; init; } = "";

    public string InboxTopic => $"{TopicPrefix}{Name}.inbox";

    public string HistoryTopic => $"{InboxTopic}.state";

    public static SagaDefinition Of<TSaga>()
        where TSaga : Saga, new()
    {
        SagaAttribute attribute = typeof(TSaga).GetCustomAttribute<SagaAttribute>()
            ?? throw new InvalidOperationException($"{typeof(TSaga)} has no [Saga(\"name\")] attribute. Add one: the name is part of its topics.");
        return new SagaDefinition(
            attribute.Name, attribute.Version, typeof(TSaga), new TSaga().InputType, (input, context) => new TSaga().RunUntypedAsync(input, context));
    }
}
