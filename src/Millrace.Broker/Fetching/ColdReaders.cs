using System.Collections.Concurrent;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// The threads that wait for the disk when old records are read: a few, so that consumers who catch up share the disk and do not hold the threads that
/// serve everybody else. They only bring the bytes into memory; the fetch then reads them there.
/// </summary>
internal sealed class ColdReaders : IDisposable
{
    private const int ThreadCount = 4;

    // A connection works on one fetch at a time, so the number of connections bounds it.
    private readonly BlockingCollection<(IReadOnlyList<ColdRange> Ranges, TaskCompletionSource Done)> _queue = [];
    private readonly Lock _lock = new();
    private bool _isStarted;

    /// <summary>Completes when the ranges, which it disposes, are in memory. After the end of the broker at once.</summary>
    public Task LoadAsync(IReadOnlyList<ColdRange> ranges)
    {
        Start();
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _queue.Add((ranges, done));
            return done.Task;
        }
        catch (InvalidOperationException)
        {
            Dispose(ranges);
            return Task.CompletedTask;
        }
    }

    public void Dispose() => _queue.CompleteAdding();

    private static void Dispose(IReadOnlyList<ColdRange> ranges)
    {
        foreach (ColdRange range in ranges)
        {
            range.Dispose();
        }
    }

    private void Start()
    {
        lock (_lock)
        {
            if (_isStarted)
            {
                return;
            }

            _isStarted = true;
        }

        for (int number = 0; number < ThreadCount; number++)
        {
            new Thread(Work) { IsBackground = true, Name = $"Millrace cold reader {number}" }.Start();
        }
    }

    private void Work()
    {
        foreach ((IReadOnlyList<ColdRange> ranges, TaskCompletionSource done) in _queue.GetConsumingEnumerable())
        {
            foreach (ColdRange range in ranges)
            {
                range.Load();
            }

            Dispose(ranges);
            done.SetResult();
        }
    }
}
