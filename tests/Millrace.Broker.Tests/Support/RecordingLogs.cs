using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Millrace.Broker.Tests;

/// <summary>Keeps every log line of the broker, so that a test can look for one.</summary>
internal sealed class RecordingLogs : ILoggerFactory, ILogger
{
    private readonly ConcurrentQueue<(LogLevel Level, int EventId, string Text)> _lines = new();

    public IEnumerable<(LogLevel Level, int EventId, string Text)> Lines => _lines;

    /// <summary>Whether they throw instead, as those of an application may whose disk is full.</summary>
    public bool Fail { get; set; }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Enqueue(Fail ? throw new IOException("The log cannot be written.") : (logLevel, eventId.Id, formatter(state, exception) + (exception is null ? "" : Environment.NewLine + exception)));

    public void Dispose()
    {
    }
}
