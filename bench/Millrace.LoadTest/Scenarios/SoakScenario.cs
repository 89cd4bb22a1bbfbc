using System.Diagnostics;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>Whether memory stays flat: a producer and a consumer at a moderate rate, for ten minutes.</summary>
internal static class SoakScenario
{
    private static readonly TimeSpan Warmup = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan Length = TimeSpan.FromMinutes(10);

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, "load", 4);
        byte[] batch = Workload.Batch(16, 1024);
        long begun = Stopwatch.GetTimestamp();
        List<double> early = [];
        List<double> late = [];
        long round = 0;
        while (Stopwatch.GetElapsedTime(begun) is var elapsed && elapsed < Length)
        {
            int partition = (int)(round % 4);
            connection.SendFrame(connection.Frame(Workload.Produce("load", partition, batch, acks: round % 16 == 0 ? (short)-1 : (short)1), 9));
            connection.DiscardFrame();
            connection.SendFrame(connection.Frame(Workload.Fetch("load", partition, round / 4 * 16, 1 << 20), 12));
            connection.DiscardFrame();
            round++;
            if (round % 1000 == 0 && elapsed > Warmup)
            {
                (elapsed < Warmup + TimeSpan.FromMinutes(1) ? early : late).Add(broker.ResidentMegabytes);
            }

            // A moderate load: some hundred requests a second, and a disk that does not fill.
            Thread.Sleep(1);
        }

        return [Measurement.AtMost(1.1, "soak", Statistics.Quantile(late, 0.99), Statistics.Quantile(early, 0.99), "MB")];
    }
}
