using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// The application's loggers, of which one that throws (a disk that is full, a service that is gone) ends nothing of the broker: neither a loop that accepts or serves connections, nor, on a thread
/// of the pool, the process.
/// </summary>
internal sealed class QuietLoggers(ILoggerFactory loggers) : ILoggerFactory
{
    public ILogger CreateLogger(string categoryName) => new QuietLogger(loggers.CreateLogger(categoryName));

    public void AddProvider(ILoggerProvider provider) => loggers.AddProvider(provider);

    public void Dispose()
    {
        // They are the application's.
    }
}
