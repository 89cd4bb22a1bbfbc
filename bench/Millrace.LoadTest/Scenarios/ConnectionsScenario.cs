using System.Diagnostics;
using Millrace.Kafka.Protocol;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>
/// 5,000 connections that do nothing beside 500 that produce and fetch: requests a second beside those of the 500 alone, what an idle connection costs,
/// and how long a stop takes in the middle of it.
/// </summary>
internal static class ConnectionsScenario
{
    private const int IdleCount = 5000;
    private const int ActiveCount = 500;
    private const double LimitStopSeconds = 1;
    private const double LimitIdleKilobytes = 64;
    private static readonly TimeSpan RoundTime = TimeSpan.FromSeconds(5);

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, "load", 16);
        }

        Exchange(broker, RoundTime);
        double alone = Exchange(broker, RoundTime);
        double before = broker.ResidentMegabytes;
        WireConnection[] idle = [.. Enumerable.Range(0, IdleCount).Select(_ => new WireConnection(broker.EndPoint))];
        foreach (WireConnection connection in idle)
        {
            connection.Send<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);
        }

        double idleKilobytes = (broker.ResidentMegabytes - before) * 1024 / IdleCount;
        double beside = Exchange(broker, RoundTime);
        double stopSeconds = StopUnderLoad(broker);
        foreach (WireConnection connection in idle)
        {
            connection.Dispose();
        }

        return
        [
            Measurement.AtMost(1, "connections-idle", idleKilobytes, LimitIdleKilobytes, "KB"),
            Measurement.AtMost(1, "connections-stop", stopSeconds, LimitStopSeconds, "s"),
            Measurement.AtLeast(0.8, "connections", beside, alone, "requests/s"),
        ];
    }

    /// <summary>Requests a second of the active connections together. Every answer is looked at.</summary>
    private static double Exchange(BrokerProcess broker, TimeSpan time)
    {
        long count = 0;
        long begun = Stopwatch.GetTimestamp();
        Thread[] clients =
        [
            .. Enumerable.Range(0, ActiveCount).Select(number => new Thread(() =>
            {
                using var connection = new WireConnection(broker.EndPoint);
                ProduceRequest request = Workload.Produce("load", number % 16, Workload.Batch(1, 100), acks: 1);
                while (Stopwatch.GetElapsedTime(begun) < time)
                {
                    ProduceResponse produced = connection.Send<ProduceRequest, ProduceResponse>(request, 9);
                    Workload.Check(produced.Topics[0].Partitions[0].ErrorCode);
                    long offset = produced.Topics[0].Partitions[0].BaseOffset;
                    FetchResponse fetched = connection.Send<FetchRequest, FetchResponse>(Workload.Fetch("load", number % 16, offset, 4096), 12);
                    Workload.Check(fetched.Topics[0].Partitions[0].ErrorCode);
                    Interlocked.Add(ref count, 2);
                }
            })),
        ];
        Array.ForEach(clients, client => client.Start());
        Array.ForEach(clients, client => client.Join());
        return count / Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }

    private static double StopUnderLoad(BrokerProcess broker)
    {
        var load = new Thread(() =>
        {
            try
            {
                using var connection = new WireConnection(broker.EndPoint);
                ProduceRequest request = Workload.Produce("load", 0, Workload.Batch(1, 100), acks: -1);
                while (true)
                {
                    connection.Send<ProduceRequest, ProduceResponse>(request, 9);
                }
            }
            catch (Exception gone) when (gone is IOException or System.Net.Sockets.SocketException)
            {
                // The broker has stopped, as it was told to.
                return;
            }
        });
        load.Start();
        long begun = Stopwatch.GetTimestamp();
        broker.Stop();
        double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        load.Join();
        return seconds;
    }
}
