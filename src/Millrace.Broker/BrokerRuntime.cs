using System.Security.Cryptography;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// What a broker takes from the process around it besides time and the disk: threads and chance. Whatever else it does goes on in the synchronization context in which
/// it was started. So the simulation, which has its own of both, decides from a seed what happens and in which order.
/// </summary>
internal abstract class BrokerRuntime
{
    /// <summary>Threads, the thread pool, and the system's random numbers.</summary>
    public static BrokerRuntime OfProcess { get; } = new ProcessRuntime();

    /// <summary>Begins to sync partitions that want it, and to bring back those that are offline. Disposed before the log is closed.</summary>
    public abstract IAsyncDisposable StartCommitter(LogDirectory log, TimeProvider time);

    /// <summary>Runs something soon, but never on the thread that asks for it: that may hold a lock.</summary>
    public abstract void Queue(IThreadPoolWorkItem work);

    public abstract void Randomize(Span<byte> bytes);

    /// <summary>An id that nobody else has, in this run of the broker or any other.</summary>
    public Guid NewId()
    {
        Span<byte> id = stackalloc byte[16];
        Randomize(id);
        return new Guid(id);
    }

    public Random NewRandom()
    {
        Span<byte> seed = stackalloc byte[sizeof(int)];
        Randomize(seed);
        return new Random(BitConverter.ToInt32(seed));
    }

    private sealed class ProcessRuntime : BrokerRuntime
    {
        public override IAsyncDisposable StartCommitter(LogDirectory log, TimeProvider time) => new GroupCommitter(log, new GroupCommitterOptions(), time);

        public override void Queue(IThreadPoolWorkItem work) => ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);

        public override void Randomize(Span<byte> bytes) => RandomNumberGenerator.Fill(bytes);
    }
}
