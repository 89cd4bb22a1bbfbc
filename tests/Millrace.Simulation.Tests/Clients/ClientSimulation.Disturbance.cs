using Millrace.Log;

namespace Millrace.Simulation.Tests;

// What happens to the network, the processes and the broker.
internal sealed partial class ClientSimulation
{
    private readonly List<(TimeSpan At, ClientProgram Program)> _toLaunch = [];

    private void Disturb()
    {
        LaunchWhoIsDue();
        if (Now < _nextDisturbance)
        {
            return;
        }

        TimeSpan pause = TimeSpan.FromMilliseconds(Next(2500));
        _nextDisturbance = Now + pause;
        Wake(pause);
        switch (Next(100))
        {
            case < 30:
                CutSome();
                break;
            case < 45 when Network.Connections.Count > 0:
                SimulatedConnection silent = Network.Connections[Next(Network.Connections.Count)];
                bool isDeaf = Chance(50);
                silent.LosesRequests = isDeaf;
                silent.LosesResponses = !isDeaf || Chance(50);
                Trace?.Add($"a connection of {silent.Process.Name} loses {(isDeaf ? "requests" : "responses")}");
                break;
            case < 57:
                SimulatedProcess cutOff = AnyProcess();
                cutOff.IsCutOff = !cutOff.IsCutOff;
                Trace?.Add($"{cutOff.Name} is {(cutOff.IsCutOff ? "cut off" : "back")}");
                break;
            case < 72:
                foreach (ClientProgram program in _programs)
                {
                    program.Process.IsCutOff = false;
                }

                break;
            case < 80:
                Stop(AnyProcess());
                break;
            case < 88:
                Kill(_programs[Next(_programs.Count)]);
                break;
            case < 94 when Network.HasBroker:
                BringDown(Chance(50) ? SimulatedCrashKind.ProcessKill : SimulatedCrashKind.PowerLoss);
                break;
            case < 97 when Network.HasBroker:
                _machine.Storage.CrashAfter(Next(60));
                break;
            case < 99:
                _machine.Storage.FailNext(Pick(SimulatedOperation.SyncData, SimulatedOperation.Write), ".log");
                Trace?.Add("the disk is going to fail");
                break;
        }
    }

    private SimulatedProcess AnyProcess() => _programs[Next(_programs.Count)].Process;

    private void CutSome()
    {
        for (int count = 1 + Next(4); count > 0 && Network.Connections.Count > 0; count--)
        {
            SimulatedConnection connection = Network.Connections[Next(Network.Connections.Count)];
            Trace?.Add($"a connection of {connection.Process.Name} is cut");
            Network.Cut(connection);
        }
    }

    /// <summary>It is not scheduled for a while, and goes on as if nothing had happened.</summary>
    private void Stop(SimulatedProcess process)
    {
        TimeSpan time = TimeSpan.FromMilliseconds(Next(Chance(70) ? 2000 : 20_000));
        process.StoppedUntil = Now + time;
        Wake(time);
        Trace?.Add($"{process.Name} stands still for {time}");
    }

    private void Kill(ClientProgram program)
    {
        if (program.Process.IsAlive)
        {
            Trace?.Add($"{program.Name} is killed");
            ProcessKillCount++;
            program.Process.Kill();
            TimeSpan pause = TimeSpan.FromMilliseconds(Next(5000));
            _toLaunch.Add((Now + pause, program));
            Wake(pause);
        }
    }

    private void LaunchWhoIsDue()
    {
        for (int number = _toLaunch.Count - 1; number >= 0; number--)
        {
            if (_toLaunch[number].At <= Now)
            {
                ClientProgram program = _toLaunch[number].Program;
                _toLaunch.RemoveAt(number);
                Launch(program);
            }
        }
    }

    private void BringDown(SimulatedCrashKind kind)
    {
        Trace?.Add($"the broker goes down: {kind}");
        BrokerCrashCount++;
        Network.BrokerIsDown();
        _starting = null;
        _machine.Crash(kind);
        TimeSpan pause = TimeSpan.FromMilliseconds(Next(Chance(80) ? 1500 : 9000));
        _brokerDownUntil = Now + pause;
        Wake(pause);
    }

    private void TendBroker()
    {
        if (_starting is { IsCompleted: true } started)
        {
            _starting = null;
            started.GetAwaiter().GetResult();
            Network.BrokerIsUp(_machine.Broker!);
            Trace?.Add("the broker is up");
        }
        else if (_brokerDownUntil is { } until && Now >= until)
        {
            _brokerDownUntil = null;
            _starting = _machine.BeginStart();
        }
    }

    /// <summary>From here on the network is good, and processes live.</summary>
    private void Calm()
    {
        Trace?.Add("all is calm");
        Network.IsCalm = true;
        IsEnding = true;
        _machine.Storage.CrashAfter(long.MaxValue / 2);
        _machine.Storage.FailNoMore();
        foreach (SimulatedConnection connection in Network.Connections.Where(static connection => connection.LosesRequests || connection.LosesResponses).ToList())
        {
            Network.Cut(connection);
        }

        foreach (ClientProgram program in _programs)
        {
            program.Process.IsCutOff = false;
            program.Process.StoppedUntil = TimeSpan.Zero;
        }

        _toLaunch.ForEach(waiting => Launch(waiting.Program));
        _toLaunch.Clear();
    }
}
