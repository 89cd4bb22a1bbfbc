using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// How many records a second 64 producers have acknowledged with acks=all, one record a request. Each has up to five requests on the way, as Kafka's producers do by default
/// (max.in.flight.requests.per.connection); how many it is when each waits for its last one is told beside it.
/// </summary>
internal static class SyncManyScenario
{
    private const int ProducerCount = 64;
    private const int MaxInFlight = 5;

    /// <summary>Few, so that the producers take as little as they can of the two cores that they share with the broker.</summary>
    private const int ThreadCount = 2;

    private const int ReferenceCount = 2000;
    private const int SelectMicroseconds = 100_000;
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
        byte[][] requests;
        using (var connection = new WireConnection(broker.EndPoint))
        {
            requests =
            [
                .. Enumerable.Range(0, partitionCount).Select(partition =>
                    connection.Frame(Workload.Produce("load", partition, batch, acks: -1), Workload.ProduceVersion)),
            ];
        }

        Console.WriteLine($"  {partitionCount} partitions");
        string file = Path.Combine(directory, "reference");
        double Reference() => ReferenceCount / (WriteAndSync.Run(file, batch.Length, ReferenceCount).Sum() / 1e6);
        double cores = 0;
        (double ours, double reference) = Statistics.InTurn(settings.Rounds, () => Produce(broker, requests, MaxInFlight, out cores), Reference);
        double oneInFlight = Produce(broker, requests, maxInFlight: 1, out _);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"  one request in flight: {oneInFlight:0} records/s, {oneInFlight / reference:0.0} times the reference; the broker took {cores:0.00} cores with {MaxInFlight}"));
        return Measurement.AtLeast(limit, $"fsync-many-{partitionCount}", ours, reference, "records/s");
    }

    /// <summary>Into a new topic, which is deleted afterwards: the next round finds the page cache and the disk as this one did.</summary>
    private static double Produce(BrokerProcess broker, byte[][] requests, int maxInFlight, out double cores)
    {
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, "load", requests.Length);
        double cpuBefore = broker.CpuSeconds;
        double rate = ProduceFromMany(broker, requests, maxInFlight);
        cores = (broker.CpuSeconds - cpuBefore) / RoundTime.TotalSeconds;
        Workload.DeleteTopic(connection, "load");
        return rate;
    }

    private static double ProduceFromMany(BrokerProcess broker, byte[][] requests, int maxInFlight)
    {
        long count = 0;
        PipelinedProducer[] producers =
        [
            .. Enumerable.Range(0, ProducerCount).Select(number => new PipelinedProducer(broker.EndPoint, RequestsOf(number, requests), maxInFlight)),
        ];
        long begun = Stopwatch.GetTimestamp();
        Thread[] threads =
        [
            .. producers.Chunk(ProducerCount / ThreadCount).Select(mine => new Thread(() => Interlocked.Add(ref count, Drive(mine, maxInFlight, begun)))),
        ];
        Array.ForEach(threads, static thread => thread.Start());
        Array.ForEach(threads, static thread => thread.Join());
        double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        Array.ForEach(producers, static producer => producer.Dispose());
        return count / seconds;
    }

    /// <summary>A producer goes around the partitions that are its own; around all, where there are fewer than producers.</summary>
    private static byte[][] RequestsOf(int producer, byte[][] requests) =>
        requests.Length < ProducerCount ? requests : [.. requests.Where((_, partition) => partition % ProducerCount == producer)];

    /// <summary>Returns how many were acknowledged. None is on the way at the end.</summary>
    private static long Drive(PipelinedProducer[] producers, int maxInFlight, long begun)
    {
        Dictionary<Socket, PipelinedProducer> bySocket = producers.ToDictionary(static producer => producer.Socket);
        List<Socket> readable = new(producers.Length);
        Array.ForEach(producers, producer => producer.Send(maxInFlight));
        long count = 0;
        bool isEnding = false;
        while (!isEnding || producers.Any(static producer => producer.InFlightCount > 0))
        {
            readable.Clear();
            readable.AddRange(bySocket.Keys);
            Socket.Select(readable, null, null, SelectMicroseconds);
            isEnding = Stopwatch.GetElapsedTime(begun) >= RoundTime;
            foreach (Socket socket in readable)
            {
                PipelinedProducer producer = bySocket[socket];
                int answerCount = producer.Receive();
                count += answerCount;
                if (!isEnding && answerCount > 0)
                {
                    producer.Send(answerCount);
                }
            }
        }

        return count;
    }
}
