using System.Diagnostics;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>How long one producer waits for one record with acks=all.</summary>
internal static class SyncOneScenario
{
    private const int CountPerRound = 1000;

    /// <summary>What a request may take beside its share of the disk: two crossings of the loopback interface and two threads that wake.</summary>
    private const double AllowanceMicroseconds = 100;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        string directory = settings.NewDirectory();
        byte[] batch = Workload.Batch(1, 1024);
        using BrokerProcess broker = BrokerProcess.Start(directory);
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, "load", 1);
        byte[] produce = connection.Frame(Workload.Produce("load", 0, batch, acks: -1), 9);
        string file = Path.Combine(directory, "reference");
        (double ours, double reference) = Statistics.InTurn(
            settings.Rounds,
            () => Statistics.Median(ProduceEach(connection, produce)),
            () => Statistics.Median(WriteAndSync.Run(file, batch.Length, CountPerRound)));
        Console.WriteLine($"  dd takes {DataDump.SyncedWriteMicroseconds(Path.Combine(directory, "dd"), batch.Length, CountPerRound):0} us for a synced write");
        double ratio = (ours - AllowanceMicroseconds) / reference;
        return [new Measurement("fsync-one", ratio, ours, reference, "us", $"at most 1.5, {AllowanceMicroseconds:0} us left out", ratio <= 1.5)];
    }

    private static double[] ProduceEach(WireConnection connection, byte[] produce)
    {
        double[] took = new double[CountPerRound];
        for (int number = 0; number < CountPerRound; number++)
        {
            long begun = Stopwatch.GetTimestamp();
            connection.SendFrame(produce);
            connection.DiscardFrame();
            took[number] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
        }

        return took;
    }
}
