using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

/// <summary>A broker survives a bug in its coordinators with a line in its log; a simulation is to fail by it. Everything else that is logged is dropped.</summary>
internal sealed class BugLogs : ILoggerFactory, ILogger
{
    private const int CoordinatorFailed = 2317;

    public static BugLogs Instance { get; } = new();

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Id == CoordinatorFailed)
        {
            if (exception is SimulatedCrashException)
            {
                // No bug: it ends the machine, and goes on to who crashed it.
                ExceptionDispatchInfo.Throw(exception);
            }

            throw new InvalidOperationException(formatter(state, exception), exception);
        }
    }

    public void Dispose()
    {
    }
}
