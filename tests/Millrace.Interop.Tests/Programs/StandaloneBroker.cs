using System.Net;
using System.Reflection;
using System.Text.RegularExpressions;

namespace Millrace.Interop.Tests.Programs;

/// <summary><c>millrace serve</c> as a process of its own, on a data directory that goes with it.</summary>
internal sealed partial class StandaloneBroker : IAsyncDisposable
{
    private readonly string[] _options;
    private readonly string[] _tracer;
    private readonly DirectoryInfo _folder;
    private RunningProgram _program = null!;

    private StandaloneBroker(string[] options, string[] tracer)
    {
        _options = options;
        _tracer = tracer;
        _folder = Directory.CreateTempSubdirectory("millrace-interop-");
    }

    /// <summary>The path of millrace.dll, built with these tests.</summary>
    public static string Command { get; } = typeof(StandaloneBroker).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key is "MillraceCommand").Value!;

    public string DataDirectory => Path.Combine(_folder.FullName, "data");

    public IPEndPoint EndPoint { get; private set; } = null!;

    public string Address => EndPoint.ToString();

    public RunningProgram Program => _program;

    /// <summary>Starts a broker on a free port, with these further options of <c>serve</c>.</summary>
    public static Task<StandaloneBroker> StartAsync(params string[] options) => StartTracedAsync([], options);

    /// <summary>Starts a broker as the child of a tracer, whose command line is given.</summary>
    public static async Task<StandaloneBroker> StartTracedAsync(string[] tracer, params string[] options)
    {
        StandaloneBroker broker = new(options, tracer);
        try
        {
            await broker.LaunchAsync("127.0.0.1:0");
        }
        catch
        {
            await broker.DisposeAsync();
            throw;
        }

        return broker;
    }

    /// <summary>The command line of <c>serve</c>, to be given to <c>dotnet</c>.</summary>
    public static string[] ServeArguments(string dataDirectory, string listen, params string[] options)
        => ["exec", Command, "serve", "--data", dataDirectory, "--listen", listen, .. options];

    /// <summary>SIGKILL.</summary>
    public Task KillAsync() => _program.KillAsync();

    /// <summary>SIGTERM; the broker must stop by itself and say so with exit code 0.</summary>
    public async Task StopAsync()
    {
        _program.RequestStop();
        await _program.RequireSuccessAsync();
    }

    /// <summary>Starts it again on the same data and the same port, after <see cref="KillAsync"/> or <see cref="StopAsync"/>.</summary>
    public async Task StartAgainAsync()
    {
        await _program.DisposeAsync();
        await LaunchAsync(Address);
    }

    /// <summary>The bytes of the first segment of a topic's first partition.</summary>
    public byte[] ReadSegment(string topic) => File.ReadAllBytes(SegmentPath(topic));

    public string SegmentPath(string topic) => Path.Combine(DataDirectory, $"{topic}-0", "00000000000000000000.log");

    public async ValueTask DisposeAsync()
    {
        // Shown with a test that fails, and in no other case.
        TestContext.Current.TestOutputHelper?.WriteLine(_program.Transcript);
        await _program.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    private async Task LaunchAsync(string listen)
    {
        string[] command = [.. _tracer, "dotnet", .. ServeArguments(DataDirectory, listen, _options)];
        _program = RunningProgram.Start(command[0], command[1..]);
        await _program.WaitUntilAsync("ready", (output, _) => output.Any(line => Ready().IsMatch(line)));
        EndPoint = IPEndPoint.Parse(Ready().Match(_program.Output.First(line => Ready().IsMatch(line))).Groups[1].Value);
    }

    [GeneratedRegex("^Millrace is listening on (.+:[0-9]+), data in ")]
    private static partial Regex Ready();
}
