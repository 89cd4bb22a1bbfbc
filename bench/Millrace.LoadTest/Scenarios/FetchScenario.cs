using System.Diagnostics;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>How fast a log that is in the page cache leaves over a plain connection.</summary>
internal static class FetchScenario
{
    private const string Topic = "load";
    private const int RecordsPerBatch = 256;
    private const int BatchCount = 2000;
    private const int MaxPartitionByteCount = 1 << 20;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        string directory = settings.NewDirectory();
        byte[] batch = Workload.Batch(RecordsPerBatch, 1024);
        using BrokerProcess broker = BrokerProcess.Start(directory);
        using var connection = new WireConnection(broker.EndPoint);
        Fill(connection, batch);
        string file = Path.Combine(directory, $"{Topic}-0", "00000000000000000000.log");
        double megabytes = new FileInfo(file).Length / 1e6;
        (double ours, double reference) = Statistics.InTurn(
            settings.Rounds,
            () => megabytes / Time(() => FetchAll(connection, batch.Length)),
            () => megabytes / Time(() => SendFileLoop.Run(file)));
        double before = broker.CpuSeconds;
        FetchAll(connection, batch.Length);
        Console.WriteLine($"  the broker takes {(broker.CpuSeconds - before) / (megabytes / 1000):0.00} CPU seconds a GB");
        return [Measurement.AtLeast(0.7, "fetch", ours, reference, "MB/s")];
    }

    private static void Fill(WireConnection connection, byte[] batch)
    {
        Workload.CreateTopic(connection, Topic, 1);
        byte[] produce = connection.Frame(Workload.Produce(Topic, 0, batch, acks: 1), 9);
        for (int number = 0; number < BatchCount; number++)
        {
            connection.SendFrame(produce);
            connection.DiscardFrame();
        }
    }

    /// <summary>The next request is on its way while an answer is read, so that it is the data that is measured and not the way to and fro.</summary>
    private static long FetchAll(WireConnection connection, int batchByteCount)
    {
        int batchesPerFetch = MaxPartitionByteCount / batchByteCount;
        int requested = 0;
        for (int received = 0; received < BatchCount;)
        {
            for (; requested < BatchCount && requested <= received + batchesPerFetch; requested += batchesPerFetch)
            {
                connection.SendFrame(connection.Frame(Workload.Fetch(Topic, 0, (long)requested * RecordsPerBatch, MaxPartitionByteCount), 12));
            }

            // Of whole batches of one size the number follows from the size of the answer: what is around them is smaller than one.
            int batches = connection.DiscardFrame() / batchByteCount;
            if (batches != Math.Min(batchesPerFetch, BatchCount - received))
            {
                throw new InvalidOperationException($"{batches} batches are fetched from batch {received} on.");
            }

            received += batches;
        }

        return BatchCount;
    }

    private static double Time(Func<long> work)
    {
        long begun = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }
}
