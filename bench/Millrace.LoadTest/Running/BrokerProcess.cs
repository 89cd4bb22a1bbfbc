using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Millrace.LoadTest.Running;

/// <summary>The standalone broker as a process of its own, on a free port of the loopback interface; or one that somebody else has started, and ends.</summary>
internal sealed class BrokerProcess : IDisposable
{
    private const double TicksPerSecond = 100;

    private readonly Process _process;
    private readonly bool _isOwn;

    private BrokerProcess(Process process, IPEndPoint endPoint, bool isOwn)
    {
        _process = process;
        EndPoint = endPoint;
        _isOwn = isOwn;
    }

    public IPEndPoint EndPoint { get; }

    /// <summary>Processor seconds that it has used so far, in itself and for it in the kernel.</summary>
    public double CpuSeconds
    {
        get
        {
            string[] fields = File.ReadAllText($"/proc/{_process.Id}/stat").Split(") ")[1].Split(' ');
            return (double.Parse(fields[11], CultureInfo.InvariantCulture) + double.Parse(fields[12], CultureInfo.InvariantCulture)) / TicksPerSecond;
        }
    }

    public double ResidentMegabytes
    {
        get
        {
            string line = File.ReadLines($"/proc/{_process.Id}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
            return double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
        }
    }

    public static BrokerProcess Start(string directory)
    {
        // Beside this program: artifacts/bin/NAME/release.
        string program = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../Millrace.Cli/release/millrace"));
        var start = new ProcessStartInfo(program, ["serve", "--data", directory, "--listen", "127.0.0.1:0"])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process = Process.Start(start) ?? throw new InvalidOperationException($"{program} does not start.");
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginErrorReadLine();
        string line = process.StandardOutput.ReadLine() ?? throw new InvalidOperationException($"{program} has ended at once.");
        string address = line.Split(' ').First(word => word.StartsWith("127.0.0.1:", StringComparison.Ordinal)).TrimEnd(',');
        return new BrokerProcess(process, IPEndPoint.Parse(address), isOwn: true);
    }

    /// <summary>A broker that runs already.</summary>
    public static BrokerProcess Attach(IPEndPoint endPoint, int processId) => new(Process.GetProcessById(processId), endPoint, isOwn: false);

    /// <summary>Ends it in order.</summary>
    public void Stop()
    {
        using Process? signal = Process.Start("kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)]);
        _process.WaitForExit(TimeSpan.FromSeconds(60));
    }

    public void Dispose()
    {
        if (_isOwn && !_process.HasExited)
        {
            Stop();
        }

        if (_isOwn && !_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }
}
