namespace Millrace;

/// <summary>Whoever waits for instances to end. An instance takes a place here while somebody waits for it, and no longer.</summary>
internal sealed class SagaWaiters
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Waiting> _waiting = [];

    /// <summary>The instances that somebody waits for.</summary>
    public int InstanceCount
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count;
            }
        }
    }

    public async Task<SagaStatus> WaitAsync(string instanceId, Func<SagaStatus?> find, CancellationToken cancellationToken)
    {
        Waiting waiting = Enter(instanceId);
        try
        {
            // Entered before the look: an instance that ends between the two completes the wait.
            return find() is { State: not (SagaState.Running or SagaState.Compensating) } status
                ? status
                : await waiting.Ended.Task.WaitAsync(cancellationToken);
        }
        finally
        {
            Leave(instanceId, waiting);
        }
    }

    public void Complete(SagaStatus status)
    {
        Waiting? waiting;
        lock (_gate)
        {
            _waiting.Remove(status.InstanceId, out waiting);
        }

        waiting?.Ended.TrySetResult(status);
    }

    private Waiting Enter(string instanceId)
    {
        lock (_gate)
        {
            if (!_waiting.TryGetValue(instanceId, out Waiting? waiting))
            {
                _waiting.Add(instanceId, waiting = new Waiting());
            }

            waiting.WaiterCount++;
            return waiting;
        }
    }

    private void Leave(string instanceId, Waiting waiting)
    {
        lock (_gate)
        {
            if (--waiting.WaiterCount == 0 && _waiting.GetValueOrDefault(instanceId) == waiting)
            {
                _waiting.Remove(instanceId);
            }
        }
    }

    private sealed class Waiting
    {
        public TaskCompletionSource<SagaStatus> Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int WaiterCount { get; set; }
    }
}
