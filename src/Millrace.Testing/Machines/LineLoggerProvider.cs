using Microsoft.Extensions.Logging;

namespace Millrace.Testing;

/// <summary>Gives log lines to a function, while the machine is up: one that is down says nothing any more.</summary>
internal sealed class LineLoggerProvider(Action<string> write, Func<bool> isDown) : ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) => new LineLogger(categoryName, write, isDown);

    public void Dispose()
    {
    }

    private sealed class LineLogger(string category, Action<string> write, Func<bool> isDown) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None && !isDown();

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) write($"{logLevel} {category}: {formatter(state, exception)}{(exception is null ? "" : Environment.NewLine + exception)}");
        }
    }
}
