using Microsoft.Extensions.DependencyInjection;

namespace Millrace;

/// <summary>Adds sagas to an application.</summary>
public static class SagaBuilderExtensions
{
    /// <summary>
    /// Runs a saga in this application. Its inbox <c>{saga}.inbox</c> and its histories <c>{saga}.inbox.state</c> are topics with the same,
    /// fixed number of partitions.
    /// </summary>
    /// <typeparam name="TSaga">A class with <see cref="SagaAttribute"/> that derives from <see cref="Saga{TInput, TResult}"/>.</typeparam>
    /// <param name="millrace">The application.</param>
    /// <param name="configure">Sets options; null for the defaults.</param>
    /// <returns><paramref name="millrace"/>.</returns>
    /// <exception cref="MillraceConfigurationException">The class has no attribute, or an option is out of range.</exception>
    public static MillraceBuilder AddSaga<TSaga>(this MillraceBuilder millrace, Action<SagaOptions>? configure = null)
        where TSaga : Saga, new()
    {
        ArgumentNullException.ThrowIfNull(millrace);
        var options = new SagaOptions();
        configure?.Invoke(options);
        options.Validate();

        SagaDefinition saga = SagaDefinition.Of<TSaga>();
        SagaClient client = Client(millrace.Services);
        client.Register(saga);
        return millrace.AddProcessor(new ProcessorOptions
        {
            Name = saga.Name,
            Topic = saga.InboxTopic,
            PartitionCount = options.PartitionCount,
            CompanionTopics = [saga.HistoryTopic],
            MaxConcurrency = options.MaxConcurrency,
            Create = services =>
            {
                var processor = new SagaProcessor(saga, services);
                client.Attach(saga, processor);
                return processor;
            },
        });
    }

    private static SagaClient Client(IServiceCollection services)
    {
        if (services.FirstOrDefault(service => service.ServiceType == typeof(ISagaClient))?.ImplementationInstance is SagaClient added)
        {
            return added;
        }

        var client = new SagaClient();
        services.AddSingleton<ISagaClient>(client);
        return client;
    }
}
