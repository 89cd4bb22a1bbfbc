namespace Millrace.Simulation.Tests;

/// <summary>
/// What would run on the threads of a process: everything that is to go on after an await, one piece at a time, each chosen by chance from those that could be next. One for
/// the machine of the broker, which ends with it, and one for the programs of its clients.
/// </summary>
internal sealed class SimulatedThread(Random random) : SynchronizationContext
{
    private readonly List<(SendOrPostCallback Callback, object? State)> _ready = [];
    private readonly int _threadId = Environment.CurrentManagedThreadId;
    private volatile string? _leak;
    private bool _hasEnded;

    public bool HasWork => _ready.Count > 0;

    public override void Post(SendOrPostCallback d, object? state)
    {
        // From a thread of the process: then that decides what happens, and not the seed.
        if (Environment.CurrentManagedThreadId != _threadId)
        {
            _leak ??= Environment.StackTrace;
        }
        else if (!_hasEnded)
        {
            _ready.Add((d, state));
        }
    }

    public override void Send(SendOrPostCallback d, object? state) => throw new InvalidOperationException("Nobody waits for another one here.");

    public override SynchronizationContext CreateCopy() => this;

    public void RunOne()
    {
        if (_leak is not null)
        {
            Require.That(false, $"everything goes on in the simulation, and nothing on the threads of the process: {_leak}");
        }

        int number = random.Next(_ready.Count);
        (SendOrPostCallback callback, object? state) = _ready[number];
        _ready[number] = _ready[^1];
        _ready.RemoveAt(_ready.Count - 1);
        Enter(() => callback(state));
    }

    public void Enter(Action action)
    {
        SynchronizationContext? before = Current;
        SetSynchronizationContext(this);
        try
        {
            action();
        }
        finally
        {
            SetSynchronizationContext(before);
        }
    }

    /// <summary>The process is gone: nothing of it goes on.</summary>
    public void End()
    {
        _hasEnded = true;
        _ready.Clear();
    }
}
