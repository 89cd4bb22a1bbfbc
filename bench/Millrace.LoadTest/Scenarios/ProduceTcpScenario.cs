using System.Diagnostics;
using Millrace.LoadTest.Librdkafka;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>librdkafka produces to one partition with acks=1, linger 10 ms and batches of 256 KB.</summary>
internal static class ProduceTcpScenario
{
    public static IReadOnlyList<Measurement> Run(RunSettings settings) =>
    [
        .. Run(settings, byteCount: 100, count: 5_000_000),
        .. Run(settings, byteCount: 1024, count: 500_000),
    ];

    private static IEnumerable<Measurement> Run(RunSettings settings, int byteCount, long count)
    {
        byte[] payload = new byte[byteCount];
        new Random(1).NextBytes(payload);
        List<ClientRun> runs = [];
        List<ClientRun> peers = [];
        string directory = settings.NewDirectory();

        // What a program that only writes gets: no broker on this machine can take in more. It differs with how much memory was touched before.
        Console.WriteLine($"  dd writes {DataDump.WriteMegabytesPerSecond(Path.Combine(settings.NewDirectory(), "dd"), 1024):0} MB/s");
        using BrokerProcess broker = BrokerProcess.Start(directory);
        using BrokerProcess? peer = settings.Peer is { } kafka ? BrokerProcess.Attach(kafka.EndPoint, kafka.ProcessId) : null;
        for (int round = 0; round <= settings.Rounds; round++)
        {
            ClientRun run = Measure(broker, payload, count);
            Console.WriteLine($"  {byteCount} B: {run}");
            ClientRun? other = peer is null ? null : Measure(peer, payload, count);
            if (other is not null)
            {
                Console.WriteLine($"  {byteCount} B, the peer: {other}");
            }

            // The first is the warm-up.
            if (round > 0)
            {
                runs.Add(run);
                peers.AddRange(other is { } measured ? [measured] : []);
            }
        }

        var ours = ClientRun.Median(runs);
        return [.. ours.Beside(ApacheKafka.Produce(byteCount), $"produce-tcp-{byteCount}", byteCount), .. peer is null ? [] : ours.Beside(ClientRun.Median(peers), $"produce-tcp-{byteCount}")];
    }

    private static ClientRun Measure(BrokerProcess broker, byte[] payload, long count)
    {
        string topic = $"load-{Guid.NewGuid():n}";
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, topic, 1);
        ClientRun run;
        using (var client = new NativeClient(Native.Producer, topic, ClientRun.ProducerSettings(broker)))
        {
            run = ClientRun.Measure(broker, count, payload.Length, () => client.Produce(payload, count));
        }

        // The next round finds the page cache and the disk as this one did.
        Workload.DeleteTopic(connection, topic);
        SyncAll();
        return run;
    }

    private static void SyncAll()
    {
        using Process sync = Process.Start("sync");
        sync.WaitForExit();
    }
}
