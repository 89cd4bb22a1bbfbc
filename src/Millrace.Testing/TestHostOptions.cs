using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Millrace.Testing;

/// <summary>How a <see cref="MillraceTestHost"/> runs. Read when it starts.</summary>
public sealed class TestHostOptions
{
    /// <summary>
    /// Decides what the simulated disk keeps of unsynced data, where it tears a write, the ids of messages and the jitter of
    /// retries. It does not decide how threads interleave. Default: 1.
    /// </summary>
    public int Seed { get; set; } = 1;

    /// <summary>What <see cref="MillraceTestHost.Time"/> shows at first. Default: the first of January 2030, midnight UTC.</summary>
    public DateTimeOffset StartTime { get; set; } = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>The application's name, the <c>ce_source</c> of its messages. Default: <c>Test</c>.</summary>
    public string ApplicationName { get; set; } = "Test";

    /// <summary>
    /// The machine goes down in the middle of the storage operation after this many, counted from the empty disk: 0 is the
    /// first of all. What had begun to start then is started again. Default null: it does not go down by itself.
    /// </summary>
    public long? CrashAfterOperations { get; set; }

    /// <summary>
    /// How long, in real time, the host waits for anything before it calls the test failed. A bound, not a pace: nothing
    /// waits for it that has happened. Default: 30 s.
    /// </summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Registers what the application has on its builder besides Millrace; called at every start, before Millrace is added. Default null: nothing.</summary>
    public Action<IHostApplicationBuilder>? ConfigureHost { get; set; }

    /// <summary>Where log lines go, for example to the test's output. Default null: nowhere.</summary>
    public Action<string>? Log { get; set; }

    /// <summary>The least level of the lines that go to <see cref="Log"/>. Default: <see cref="LogLevel.Information"/>.</summary>
    public LogLevel MinimumLogLevel { get; set; } = LogLevel.Information;
}
