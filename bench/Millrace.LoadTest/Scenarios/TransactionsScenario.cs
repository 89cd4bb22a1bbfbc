using System.Diagnostics;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// Commits a second of one record each, beside half the serial rate of a synced write, since a transaction has two barriers; and 1-KiB records with a
/// commit every 100 ms beside the same producer without transactions.
/// </summary>
internal static class TransactionsScenario
{
    private const int RecordsPerBatch = 256;
    private const int ManyProducerCount = 64;
    private const int ReferenceCount = 1000;
    private static readonly TimeSpan RoundTime = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan CommitInterval = TimeSpan.FromMilliseconds(100);

    public static IReadOnlyList<Measurement> Run(RunSettings settings) =>
    [
        Commits(settings, ManyProducerCount),
        Commits(settings, 1),
        Throughput(settings),
    ];

    private static Measurement Commits(RunSettings settings, int producerCount)
    {
        string directory = settings.NewDirectory();
        using BrokerProcess broker = Start(directory, producerCount);
        string file = Path.Combine(directory, "reference");
        Console.WriteLine($"  {producerCount} producers, a record a transaction");
        (double ours, double reference) = Statistics.InTurn(
            settings.Rounds,
            () => CommitFromMany(broker, producerCount),
            () => ReferenceCount / (WriteAndSync.Run(file, 1100, ReferenceCount).Sum() / 1e6) / 2);
        return Measurement.Reported($"transactions-{producerCount}", ours, reference, "commits/s");
    }

    private static double CommitFromMany(BrokerProcess broker, int producerCount)
    {
        long count = 0;
        long begun = Stopwatch.GetTimestamp();
        Thread[] producers =
        [
            .. Enumerable.Range(0, producerCount).Select(number => new Thread(() =>
            {
                using var producer = new SequencedProducer(broker, "load", number, $"load-{number}", recordCount: 1);
                int mine = 0;
                for (; Stopwatch.GetElapsedTime(begun) < RoundTime; mine++)
                {
                    producer.Produce();
                    producer.Commit();
                }

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

    private static Measurement Throughput(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        Console.WriteLine("  1 KiB records, a commit every 100 ms");
        (double ours, double reference) = Statistics.InTurn(settings.Rounds, () => Produce(broker, "load"), () => Produce(broker, transactionalId: null));
        return Measurement.AtLeast(0.9, "transactions", ours, reference, "records/s");
    }

    /// <summary>Into a new topic, which is deleted afterwards: what comes next finds the page cache and the disk as this did.</summary>
    private static double Produce(BrokerProcess broker, string? transactionalId)
    {
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, "load", partitionCount: 1);
        double rate = ProduceFor(broker, transactionalId);
        Workload.DeleteTopic(connection, "load");
        return rate;
    }

    private static double ProduceFor(BrokerProcess broker, string? transactionalId)
    {
        using var producer = new SequencedProducer(broker, "load", partition: 0, transactionalId, RecordsPerBatch);
        long count = 0;
        long begun = Stopwatch.GetTimestamp();
        long lastCommit = begun;
        while (Stopwatch.GetElapsedTime(begun) < RoundTime)
        {
            producer.Produce();
            count += RecordsPerBatch;
            if (transactionalId is not null && Stopwatch.GetElapsedTime(lastCommit) >= CommitInterval)
            {
                producer.Commit();
                lastCommit = Stopwatch.GetTimestamp();
            }
        }

        producer.Flush();
        if (transactionalId is not null)
        {
            producer.Commit();
        }

        return count / Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }

    private static BrokerProcess Start(string directory, int partitionCount)
    {
        BrokerProcess broker = BrokerProcess.Start(directory);
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, "load", partitionCount);
        return broker;
    }
}
