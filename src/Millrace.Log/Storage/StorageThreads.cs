using System.Runtime.ExceptionServices;

namespace Millrace.Log;

/// <summary>Does the same to many things on as many threads as a storage serves faster than one; where that is one, in their order on the caller's.</summary>
internal static class StorageThreads
{
    /// <summary>Returns when all is done, or throws what the first one threw that failed; then not all was begun.</summary>
    public static void ForEach<T>(IStorage storage, IReadOnlyList<T> items, Action<T> work)
    {
        int next = -1;
        ExceptionDispatchInfo? failure = null;
        void Work()
        {
            try
            {
                while (Volatile.Read(ref failure) is null && Interlocked.Increment(ref next) is var number && number < items.Count)
                {
                    work(items[number]);
                }
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(exception), null);
            }
        }

        // Not those of the pool, which hands out few at a time: these wait for the disk more than they work.
        int threadCount = Math.Min(storage.UsefulThreadCount, items.Count);
        List<Thread> threads = [.. Enumerable.Range(1, Math.Max(threadCount - 1, 0)).Select(number => new Thread(Work) { IsBackground = true, Name = $"Millrace storage {number}" })];
        threads.ForEach(static thread => thread.Start());
        Work();
        threads.ForEach(static thread => thread.Join());
        failure?.Throw();
    }
}
