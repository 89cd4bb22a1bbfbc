using Millrace.Log;

namespace Millrace.Testing;

/// <content>Crashes.</content>
public sealed partial class MillraceTestHost
{
    /// <summary>
    /// Storage operations so far that change or sync something, over all starts: each is a place where a crash may strike.
    /// </summary>
    public long StorageOperationCount => _machine.Storage.OperationCount;

    /// <summary>How often the machine has gone down.</summary>
    public int CrashCount { get; private set; }

    /// <summary>Whether the machine is down now: <see cref="RestartIfDownAsync"/> starts it again.</summary>
    public bool IsDown => _machine.IsDown;

    /// <summary>
    /// A disk that says that it has flushed and has not: with it, a crash loses what was acknowledged. For the control of a
    /// test of crashes, which must fail with it. Default: false.
    /// </summary>
    public bool IgnoresFlushes
    {
        get => _machine.Storage.IgnoresFlushes;
        set => _machine.Storage.IgnoresFlushes = value;
    }

    /// <summary>Cuts the power and starts again, on what the disk kept: everything that was acknowledged, and of the rest any part.</summary>
    /// <param name="cancellationToken">Gives up starting.</param>
    /// <remarks>
    /// Handlers that run are told to end by their token. One that does not heed it goes on in the background, where nothing
    /// that it writes to the log arrives any more.
    /// </remarks>
    public async Task CrashAndRestartAsync(CancellationToken cancellationToken = default)
    {
        CutPower();
        await RestartIfDownAsync(cancellationToken);
    }

    /// <summary>
    /// Lets the machine go down in the middle of the storage operation after the next <paramref name="operationCount"/>. Then
    /// nothing is acknowledged any more, until <see cref="RestartIfDownAsync"/>, or a member that calls it by itself.
    /// </summary>
    /// <param name="operationCount">0 for the very next one.</param>
    public void CrashAfter(long operationCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(operationCount);
        _machine.Storage.CrashAfter(operationCount);
    }

    /// <summary>Cuts the power now; <see cref="RestartIfDownAsync"/> starts again. For a crash in the middle of a handler, which calls this.</summary>
    public void CutPower() => _machine.CutPower();

    /// <summary>Starts the machine again if it is down, on what its disk kept.</summary>
    /// <param name="cancellationToken">Gives up starting.</param>
    /// <returns>Whether it was down.</returns>
    public async Task<bool> RestartIfDownAsync(CancellationToken cancellationToken = default)
    {
        if (!IsDown) return false;
        await StartMachineAsync(cancellationToken);
        return true;
    }

    /// <summary>
    /// Does what a client outside of the machine does: tries until it succeeds, across crashes. The action is called again when
    /// the machine went down under it; a failure on a machine that runs is thrown.
    /// </summary>
    /// <param name="action">Publishes, sends or starts something; may be called several times, so give messages ids of your own.</param>
    /// <param name="cancellationToken">Gives up starting.</param>
    public async Task ThroughCrashesAsync(Func<MillraceTestHost, Task> action, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(action);
        while (true)
        {
            await RestartIfDownAsync(cancellationToken);
            Machine machine = _machine;
            try
            {
                await action(this);
                return;
            }
            catch (Exception) when (machine.IsDown)
            {
                // Nobody knows whether it was done; so it is done again.
                await machine.WentDown;
            }
        }
    }

    /// <summary>
    /// Stops the application as a host stops that is asked to, running handlers first, and starts it again on the same disk.
    /// </summary>
    /// <param name="cancellationToken">Ends the handlers at once, or gives up starting.</param>
    public async Task RestartAsync(CancellationToken cancellationToken = default)
    {
        if (!IsDown) _machine = NextMachine(await _machine.StopAsync(cancellationToken));
        await StartMachineAsync(cancellationToken);
    }

    private Machine NextMachine(SimulatedStorage storage) => Machine.Create(storage, Time, ++_machineNumber, _options, _configure);

    /// <summary>Starts the machine, again if it goes down meanwhile.</summary>
    private async Task StartMachineAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (IsDown)
            {
                CrashCount++;
                _machine = NextMachine(await _machine.TakeDiskAsync());
            }

            Machine machine = _machine;
            try
            {
                await machine.StartAsync(cancellationToken);
                return;
            }
            catch (Exception) when (machine.IsDown)
            {
                // It went down before it was up.
                await machine.WentDown;
            }
        }
    }
}
