namespace Millrace;

/// <summary>Starts sagas and looks at them. From the host's services, once it has started.</summary>
public interface ISagaClient
{
    /// <summary>Starts an instance, unless one with this id was started before.</summary>
    /// <typeparam name="TSaga">The saga, registered with <c>AddSaga</c>.</typeparam>
    /// <param name="id">
    /// Names the instance within its saga; it is also the key that decides where the instance runs. A second start with the same id
    /// changes nothing, whatever its input.
    /// </param>
    /// <param name="input">The saga's input.</param>
    /// <param name="cancellationToken">Ends the wait; the start may have been written all the same.</param>
    /// <returns>When the start is on the disk: from then on the instance runs to its end, across crashes.</returns>
    /// <exception cref="ArgumentException">The id is empty or too long, or the input is not what the saga takes.</exception>
    /// <exception cref="MillraceConfigurationException">The saga is not registered.</exception>
    /// <exception cref="MillraceNotRunningException">The host does not run.</exception>
    Task StartAsync<TSaga>(string id, object input, CancellationToken cancellationToken = default)
        where TSaga : Saga, new();

    /// <summary>
    /// Where an instance stands, as far as this process knows: it knows the instances of the partitions that it owns, and with the
    /// embedded log that is all of them.
    /// </summary>
    /// <typeparam name="TSaga">The saga, registered with <c>AddSaga</c>.</typeparam>
    /// <param name="id">The id that it was started with.</param>
    /// <returns>Null if no instance with this id has begun here.</returns>
    /// <exception cref="MillraceConfigurationException">The saga is not registered.</exception>
    SagaStatus? Find<TSaga>(string id)
        where TSaga : Saga, new();

    /// <summary>Waits until an instance has ended: completed, compensated, or in need of attention. It may not have been started yet.</summary>
    /// <typeparam name="TSaga">The saga, registered with <c>AddSaga</c>.</typeparam>
    /// <param name="id">The id that it was started with.</param>
    /// <param name="cancellationToken">Ends the wait; the instance goes on.</param>
    /// <returns>How it ended. Only of an instance that ends in this process, as <see cref="Find"/> has it.</returns>
    /// <exception cref="MillraceConfigurationException">The saga is not registered.</exception>
    Task<SagaStatus> WaitAsync<TSaga>(string id, CancellationToken cancellationToken = default)
        where TSaga : Saga, new();
}

/// <summary>Where an instance of a saga stands.</summary>
/// <param name="InstanceId">The id that it was started with.</param>
/// <param name="State">Where it stands.</param>
/// <param name="Reason">Why it compensates, was compensated or needs attention; null otherwise.</param>
/// <param name="WaitsFor">The names of the steps that have no answer yet.</param>
public sealed record SagaStatus(string InstanceId, SagaState State, string? Reason, IReadOnlyList<string> WaitsFor)
{
    /// <summary>As a record prints itself, with the steps by their names.</summary>
    public override string ToString() =>
        $"{nameof(SagaStatus)} {{ {nameof(InstanceId)} = {InstanceId}, {nameof(State)} = {State}, {nameof(Reason)} = {Reason}, {nameof(WaitsFor)} = [{string.Join(", ", WaitsFor)}] }}";
}
