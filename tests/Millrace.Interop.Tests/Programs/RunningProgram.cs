using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Millrace.Interop.Tests.Programs;

/// <summary>
/// A program that runs beside the test: its lines are collected as they come, a test waits on them with a deadline, and it is
/// ended by its id.
/// </summary>
internal sealed partial class RunningProgram : IAsyncDisposable
{
    /// <summary>Far above what anything here takes; it only turns a hang into a failure that says what was awaited.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private const int Terminate = 15;
    private const int Continue = 18;
    private const int Stop = 19;

    private readonly Process _process;
    private readonly string _name;
    private readonly Lock _gate = new();
    private readonly List<string> _output = [];
    private readonly List<string> _error = [];
    private readonly Task _ended;
    private TaskCompletionSource _changed = NewSignal();
    private bool _hasEnded;

    private RunningProgram(Process process, string name)
    {
        _process = process;
        _name = name;
        _ended = Task.WhenAll(
            CollectAsync(process.StandardOutput, _output),
            CollectAsync(process.StandardError, _error),
            process.WaitForExitAsync()).ContinueWith(_ => Change(() => _hasEnded = true), TaskScheduler.Default);
    }

    public int Id => _process.Id;

    public int ExitCode => _process.ExitCode;

    /// <summary>Whether it is over, and everything that it said is here.</summary>
    public bool HasEnded
    {
        get
        {
            lock (_gate)
            {
                return _hasEnded;
            }
        }
    }

    public IReadOnlyList<string> Output
    {
        get
        {
            lock (_gate)
            {
                return [.. _output];
            }
        }
    }

    public IReadOnlyList<string> Error
    {
        get
        {
            lock (_gate)
            {
                return [.. _error];
            }
        }
    }

    /// <summary>Everything that the program said, for the message of a failure.</summary>
    public string Transcript
    {
        get
        {
            lock (_gate)
            {
                return $"--- {_name}, standard output ({_output.Count} lines) ---\n{Tail(_output)}\n"
                    + $"--- {_name}, standard error ({_error.Count} lines) ---\n{Tail(_error)}";
            }
        }
    }

    public static RunningProgram Start(string program, params IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        Process process = Process.Start(start)!;
        return new RunningProgram(process, $"{Path.GetFileName(program)} {string.Join(' ', start.ArgumentList)}");
    }

    public async Task WriteLineAsync(string line)
    {
        await _process.StandardInput.WriteAsync(line + "\n");
        await _process.StandardInput.FlushAsync();
    }

    public void CloseInput() => _process.StandardInput.Close();

    /// <summary>Waits until the lines of standard output and standard error meet the condition; fails when the program ends before.</summary>
    public async Task WaitUntilAsync(string what, Func<IReadOnlyList<string>, IReadOnlyList<string>, bool> condition)
    {
        using CancellationTokenSource late = new(Deadline);
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (condition(_output, _error))
                {
                    return;
                }

                changed = _changed.Task;
                if (_hasEnded)
                {
                    Assert.Fail($"{_name} ended with exit code {_process.ExitCode} before {what}.\n{Transcript}");
                }
            }

            try
            {
                await changed.WaitAsync(late.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"{_name}: not {what} after {Deadline}.\n{Transcript}");
            }
        }
    }

    /// <summary>Waits for the end and returns the exit code.</summary>
    public async Task<int> WaitForExitAsync()
    {
        try
        {
            await _ended.WaitAsync(Deadline);
        }
        catch (TimeoutException)
        {
            Assert.Fail($"{_name} has not ended after {Deadline}.\n{Transcript}");
        }

        return _process.ExitCode;
    }

    public async Task RequireSuccessAsync()
    {
        int exitCode = await WaitForExitAsync();
        Assert.True(exitCode == 0, $"{_name} ended with exit code {exitCode}.\n{Transcript}");
    }

    /// <summary>SIGKILL: the program gets no chance to do anything.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await WaitForExitAsync();
    }

    /// <summary>SIGSTOP: the program stands still, and knows nothing of it.</summary>
    public void Pause() => Assert.Equal(0, SendSignal(_process.Id, Stop));

    /// <summary>SIGCONT: it goes on where it was.</summary>
    public void Resume() => Assert.Equal(0, SendSignal(_process.Id, Continue));

    /// <summary>SIGTERM: the program is asked to stop.</summary>
    public void RequestStop() => RequestStop(_process.Id);

    public static void RequestStop(int processId) => Assert.Equal(0, SendSignal(processId, Terminate));

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        await _ended;
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int processId, int signal);

    private static string Tail(List<string> lines) => string.Join('\n', lines.TakeLast(60));

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task CollectAsync(StreamReader reader, List<string> lines)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            Change(() => lines.Add(line));
        }
    }

    private void Change(Action change)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            change();
            changed = _changed;
            _changed = NewSignal();
        }

        changed.SetResult();
    }
}
