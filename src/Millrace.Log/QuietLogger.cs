using Microsoft.Extensions.Logging;

namespace Millrace.Log;

/// <summary>
/// A logger that never throws. The one given is the application's, and may write to the very disk that has just refused: where it fails, a partition that went offline comes back nevertheless,
/// and no thread of the log ends.
/// </summary>
public sealed class QuietLogger(ILogger inner) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return inner.IsEnabled(logLevel);
        }
        catch (Exception)
        {
            return false;
        }
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _ = TryLog(logLevel, eventId, state, exception, formatter);

    private bool TryLog<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            inner.Log(logLevel, eventId, state, exception, formatter);
            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }
}
