using System.Collections.Concurrent;
using System.Diagnostics;

namespace Millrace;

internal sealed class SagaClient : ISagaClient
{
    private readonly ConcurrentDictionary<Type, SagaDefinition> _sagas = new();
    private readonly ConcurrentDictionary<Type, SagaProcessor> _processors = new();

    public void Register(SagaDefinition saga) => _sagas[saga.SagaType] = saga;

    public void Attach(SagaDefinition saga, SagaProcessor processor) => _processors[saga.SagaType] = processor;

    public Task StartAsync<TSaga>(string id, object input, CancellationToken cancellationToken = default)
        where TSaga : Saga, new()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(id);
        ArgumentNullException.ThrowIfNull(input);
        if (id.Length > SagaMessages.MaximumInstanceIdLength)
        {
            throw new ArgumentException($"The id of a saga has at most {SagaMessages.MaximumInstanceIdLength} characters; this one has {id.Length}.", nameof(id));
        }

        SagaProcessor processor = Processor(typeof(TSaga));
        if (!_sagas[typeof(TSaga)].InputType.IsInstanceOfType(input))
        {
            throw new ArgumentException(
                $"{typeof(TSaga).Name} takes a {_sagas[typeof(TSaga)].InputType.Name}, and was given a {input.GetType().Name}.", nameof(input));
        }

        return processor.StartAsync(id, input, Activity.Current?.Id, cancellationToken);
    }

    public SagaStatus? Find<TSaga>(string id)
        where TSaga : Saga, new() => Processor(typeof(TSaga)).Find(id);

    public Task<SagaStatus> WaitAsync<TSaga>(string id, CancellationToken cancellationToken = default)
        where TSaga : Saga, new() => Processor(typeof(TSaga)).WaitAsync(id, cancellationToken);

    private SagaProcessor Processor(Type saga)
    {
        if (!_sagas.ContainsKey(saga))
        {
            throw new MillraceConfigurationException([$"{saga.FullName} is not registered. Call millrace.AddSaga<{saga.Name}>()."]);
        }

        return _processors.GetValueOrDefault(saga)
            ?? throw new InvalidOperationException($"{saga.Name} cannot be used before the host has started. Start it first (await host.StartAsync() or host.RunAsync()).");
    }
}
