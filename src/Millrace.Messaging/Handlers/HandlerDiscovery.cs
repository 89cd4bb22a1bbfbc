using System.Linq.Expressions;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;

namespace Millrace;

/// <summary>
/// Finds the handlers of a class, its public <c>HandleAsync</c> methods, and compiles a call for each. Reflection runs
/// once, when the host starts.
/// </summary>
internal static class HandlerDiscovery
{
    private const string MethodName = "HandleAsync";

    private static readonly MethodInfo s_getService = typeof(ServiceProviderServiceExtensions).GetMethod(
        nameof(ServiceProviderServiceExtensions.GetRequiredService), [typeof(IServiceProvider), typeof(Type)])!;

    /// <summary>Finds the handlers of a class.</summary>
    /// <exception cref="MillraceConfigurationException">The class has no handler, or one that cannot be called.</exception>
    public static IReadOnlyList<HandlerDefinition> Find(Type handlers)
    {
        MethodInfo[] methods =
            [.. handlers.GetMethods(BindingFlags.Instance | BindingFlags.Public).Where(method => method.Name == MethodName)];
        if (methods.Length == 0)
        {
            throw new MillraceConfigurationException(
                $"{handlers.FullName} has no public method named {MethodName}. Write for example 'public Task HandleAsync(OrderCreated message, MessageContext context, CancellationToken cancellationToken)'.");
        }

        List<string> problems = [];
        List<HandlerDefinition> found = [];
        foreach (MethodInfo method in methods)
        {
            string name = $"{handlers.Name}.{MethodName}";
            if (Problem(method) is { } problem)
            {
                problems.Add($"{handlers.FullName}.{MethodName}({string.Join(", ", method.GetParameters().Select(p => p.ParameterType.Name))}): {problem}");
                continue;
            }

            found.Add(new HandlerDefinition(method.GetParameters()[0].ParameterType, name, Compile(handlers, method)));
        }

        return problems.Count == 0 ? found : throw new MillraceConfigurationException(problems);
    }

    /// <summary>
    /// A lambda that gives no value. A command it may refuse: a <see cref="Task{TResult}"/> of a reply is a task, too, so that the compiler takes it for one that gives nothing.
    /// </summary>
    /// <exception cref="MillraceConfigurationException">The message asks for a value.</exception>
    public static HandlerDefinition OfLambda<TMessage>(Func<TMessage, MessageContext, CancellationToken, Task> handler, string endpoint)
        where TMessage : notnull
    {
        if (DeclaredReply(typeof(TMessage)) is { } declared)
        {
            string names = $"{typeof(TMessage).Name}, {Describe(declared)}";
            throw new MillraceConfigurationException([
                $"A lambda at the endpoint '{endpoint}' gives no value, but {typeof(TMessage).Name} asks for a {Describe(declared)}. Call endpoint.Handle<{names}>(...), whose lambda returns a Task<Reply<{Describe(declared)}>>.",
            ]);
        }

        bool isCommand = typeof(TMessage).IsDefined(typeof(CommandAttribute), inherit: false);
        return new HandlerDefinition(typeof(TMessage), "a lambda", async (message, context, cancellationToken) =>
        {
            HandlerAnswer answer = await (handler((TMessage)message, context, cancellationToken) switch
            {
                Task<Reply> reply => AnswerReplyAsync(reply),
                Task<Rejection> refusal => AnswerRefusalAsync(refusal),
                { } task => AnswerNothingAsync(task),
            });
            return answer.Rejection is null || isCommand
                ? answer
                : throw new InvalidOperationException($"{typeof(TMessage).Name} was refused ({answer.Rejection.Reason}), but it is an event, and events have no reply. Throw an exception where it cannot be handled.");
        });
    }

    /// <summary>
    /// Why the container cannot make a class: found at the start, and not by the first message, which would become a dead letter, and all that follow it. What its services need in turn is not looked at.
    /// </summary>
    public static string? ConstructionProblem(Type type, IServiceProviderIsService known)
    {
        ParameterInfo? missing = null;
        foreach (ConstructorInfo constructor in type.GetConstructors())
        {
            missing = constructor.GetParameters().FirstOrDefault(parameter => !IsGiven(parameter, known));
            if (missing is null) return null;
        }

        return missing is null
            ? $"{type.Name} has no public constructor. Give it one, or register it with what makes it: builder.Services.AddScoped(services => ...)."
            : $"{type.Name} needs {Describe(missing.ParameterType)} in its constructor, which is not registered. Register it (builder.Services.AddScoped<{Describe(missing.ParameterType)}, ...>()), or give the parameter a default.";
    }

    /// <summary>What has a key of its own is not looked for.</summary>
    private static bool IsGiven(ParameterInfo parameter, IServiceProviderIsService known) =>
        parameter.HasDefaultValue || parameter.IsDefined(typeof(FromKeyedServicesAttribute)) || known.IsService(parameter.ParameterType);

    private static string? Problem(MethodInfo method)
    {
        ParameterInfo[] parameters = method.GetParameters();
        if (method.IsGenericMethod) return "a handler is not generic.";
        if (parameters.Length == 0) return "the first parameter is the message.";
        foreach (ParameterInfo parameter in parameters.Skip(1))
        {
            if (parameter.ParameterType != typeof(MessageContext) && parameter.ParameterType != typeof(CancellationToken))
                return $"the parameter '{parameter.Name}' is a {parameter.ParameterType.Name}. After the message a handler takes a MessageContext and a CancellationToken; what else it needs comes through the constructor.";
        }

        Type? answer = AnswerType(method.ReturnType, out bool isTask);
        if (!isTask) return $"it returns {method.ReturnType.Name}. A handler returns Task or ValueTask, or one of a reply.";

        Type message = parameters[0].ParameterType;
        Type? declared = DeclaredReply(message);
        bool isCommand = message.IsDefined(typeof(CommandAttribute), inherit: false);
        return (declared, answer) switch
        {
            (null, null) => null,
            (null, _) when answer == typeof(Reply) && isCommand => null,
            (null, _) when isCommand => $"it returns a {Describe(answer)}, but {message.Name} declares no reply. Implement ICommand<{Describe(answer)}> on {message.Name}, or return Task<Reply> or Task.",
            (null, _) => $"it returns a {Describe(answer)}, but {message.Name} is an event, and events have no reply. Return Task.",
            (_, null) => $"it returns nothing, but {message.Name} asks for a {Describe(declared)}. Return Task<Reply<{Describe(declared)}>>.",
            _ when answer == declared || answer == typeof(Reply<>).MakeGenericType(declared) => null,
            _ => $"it returns a {Describe(answer)}, but {message.Name} asks for a {Describe(declared)}. Return Task<Reply<{Describe(declared)}>>.",
        };
    }

    private static HandlerInvoker Compile(Type handlers, MethodInfo method)
    {
        ParameterExpression message = Expression.Parameter(typeof(object), "message");
        ParameterExpression context = Expression.Parameter(typeof(MessageContext), "context");
        ParameterExpression cancellationToken = Expression.Parameter(typeof(CancellationToken), "cancellationToken");
        Expression instance = Expression.Convert(
            Expression.Call(s_getService, Expression.Property(context, nameof(MessageContext.Services)), Expression.Constant(handlers)), handlers);
        IEnumerable<Expression> arguments = method.GetParameters().Select((parameter, position) =>
            position == 0 ? Expression.Convert(message, parameter.ParameterType)
            : parameter.ParameterType == typeof(MessageContext) ? (Expression)context
            : cancellationToken);
        Expression call = Expression.Call(instance, method, arguments);

        Type? answer = AnswerType(method.ReturnType, out _);
        Expression task = method.ReturnType.Name.StartsWith(nameof(ValueTask), StringComparison.Ordinal)
            ? Expression.Call(call, nameof(ValueTask.AsTask), Type.EmptyTypes)
            : call;
        Expression body = answer switch
        {
            null => Expression.Call(typeof(HandlerDiscovery), nameof(AnswerNothingAsync), Type.EmptyTypes, task),
            _ when answer == typeof(Reply) => Expression.Call(typeof(HandlerDiscovery), nameof(AnswerReplyAsync), Type.EmptyTypes, task),
            { IsGenericType: true } when answer.GetGenericTypeDefinition() == typeof(Reply<>) =>
                Expression.Call(typeof(HandlerDiscovery), nameof(AnswerReplyOfAsync), answer.GetGenericArguments(), task),
            _ => Expression.Call(typeof(HandlerDiscovery), nameof(AnswerValueAsync), [answer], task),
        };
        return Expression.Lambda<HandlerInvoker>(body, message, context, cancellationToken).Compile();
    }

    /// <summary>What a method's task gives; null for one that gives nothing.</summary>
    private static Type? AnswerType(Type returnType, out bool isTask)
    {
        Type? generic = returnType.IsGenericType ? returnType.GetGenericTypeDefinition() : null;
        isTask = returnType == typeof(Task) || returnType == typeof(ValueTask) || generic == typeof(Task<>) || generic == typeof(ValueTask<>);
        return generic is not null && isTask ? returnType.GetGenericArguments()[0] : null;
    }

    /// <summary>What a command asks for; null where it asks for nothing, and for an event.</summary>
    private static Type? DeclaredReply(Type message) => message.GetInterfaces()
        .FirstOrDefault(type => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ICommand<>))
        ?.GetGenericArguments()[0];

    private static string Describe(Type type) =>
        type.IsGenericType ? $"{type.Name[..type.Name.IndexOf('`')]}<{string.Join(", ", type.GetGenericArguments().Select(Describe))}>" : type.Name;

    private static async Task<HandlerAnswer> AnswerNothingAsync(Task task)
    {
        await task;
        return HandlerAnswer.Nothing;
    }

    private static async Task<HandlerAnswer> AnswerReplyAsync(Task<Reply> task)
    {
        Reply reply = await task ?? throw NullReply();
        return new HandlerAnswer(null, reply.Rejection);
    }

    private static async Task<HandlerAnswer> AnswerRefusalAsync(Task<Rejection> task) => new(null, await task ?? throw NullReply());

    private static async Task<HandlerAnswer> AnswerReplyOfAsync<T>(Task<Reply<T>> task)
    {
        Reply<T> reply = await task ?? throw NullReply();
        return reply.IsRejected ? new HandlerAnswer(null, reply.Rejection) : new HandlerAnswer(reply.Value, null);
    }

    private static async Task<HandlerAnswer> AnswerValueAsync<T>(Task<T> task) => new(await task, null);

    private static InvalidOperationException NullReply() =>
        new("The handler returned null where a reply is due. Return the value, Reply.Done or Reply.Reject(reason).");
}
