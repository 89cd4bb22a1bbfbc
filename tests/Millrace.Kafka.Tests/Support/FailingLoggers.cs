using Microsoft.Extensions.Logging;

namespace Millrace.Kafka.Tests;

/// <summary>Loggers that throw at the first line with these words: a failure from where nobody expects one.</summary>
internal sealed class FailingLoggers(string words) : ILoggerFactory, ILogger
{
    private int _failureCount;

    public int FailureCount => Volatile.Read(ref _failureCount);

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (formatter(state, exception).Contains(words, StringComparison.Ordinal) && Interlocked.Increment(ref _failureCount) == 1)
        {
            throw new InvalidOperationException("The logger failed.");
        }
    }

    public void Dispose()
    {
        // Nothing is open.
    }
}
