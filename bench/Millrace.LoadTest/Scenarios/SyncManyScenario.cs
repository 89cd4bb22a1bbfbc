using System.Diagnostics;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>How many records a second 64 producers have acknowledged with acks=all, each waiting for its last before it sends the next.</summary>
internal static class SyncManyScenario
{
    private const int ProducerCount = 64;
    private const int ReferenceCount = 2000;
    private static readonly TimeSpan RoundTime = TimeSpan.FromSeconds(3);

    public static IReadOnlyList<Measurement> Run(RunSettings settings) =>
    [
        Run(settings, partitionCount: 1000, limit: 10),
        Run(settings, partitionCount: 64, limit: 10),
        Run(settings, partitionCount: 1, limit: 20),
    ];

    private static Measurement Run(RunSettings settings, int partitionCount, double limit)
    {
        string directory = settings.NewDirectory();
        byte[] batch = Workload.Batch(1, 1024);
        using BrokerProcess broker = BrokerProcess.Start(directory);
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, "load", partitionCount);
        }

        Console.WriteLine($"  {partitionCount} partitions");
        string file = Path.Combine(directory, "reference");
        (double ours, double reference) = Statistics.InTurn(
            settings.Rounds,
            () => ProduceFromMany(broker, batch, partitionCount),
            () => ReferenceCount / (WriteAndSync.Run(file, batch.Length, ReferenceCount).Sum() / 1e6));
        return Measurement.AtLeast(limit, $"fsync-many-{partitionCount}", ours, reference, "records/s");
    }

    private static double ProduceFromMany(BrokerProcess broker, byte[] batch, int partitionCount)
    {
        long count = 0;
        long begun = Stopwatch.GetTimestamp();
        Thread[] producers =
        [
            .. Enumerable.Range(0, ProducerCount).Select(number => new Thread(() =>
            {
                int mine = ProduceUntil(broker, batch, number, partitionCount, begun);
                Interlocked.Add(ref count, mine);
            })),
        ];
        foreach (Thread producer in producers)
        {
            producer.Start();
        }

        foreach (Thread producer in producers)
        {
            producer.Join();
        }

        return count / Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }

    /// <summary>Goes around the partitions that are this producer's.</summary>
    private static int ProduceUntil(BrokerProcess broker, byte[] batch, int number, int partitionCount, long begun)
    {
        using var connection = new WireConnection(broker.EndPoint);
        byte[][] requests =
        [
            .. Enumerable.Range(0, partitionCount).Where(partition => partition % ProducerCount == number % Math.Min(ProducerCount, partitionCount))
                .Select(partition => connection.Frame(Workload.Produce("load", partition, batch, acks: -1), 9)),
        ];
        int count = 0;
        while (Stopwatch.GetElapsedTime(begun) < RoundTime)
        {
            connection.SendFrame(requests[count % requests.Length]);
            connection.DiscardFrame();
            count++;
        }

        return count;
    }
}
