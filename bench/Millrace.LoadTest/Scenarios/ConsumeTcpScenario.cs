using Millrace.LoadTest.Librdkafka;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>librdkafka consumes one partition that is in the page cache.</summary>
internal static class ConsumeTcpScenario
{
    public static IReadOnlyList<Measurement> Run(RunSettings settings) =>
    [
        .. Run(settings, byteCount: 100, count: 10_000_000),
        .. Run(settings, byteCount: 1024, count: 2_000_000),
    ];

    private static IEnumerable<Measurement> Run(RunSettings settings, int byteCount, long count)
    {
        byte[] payload = new byte[byteCount];
        new Random(1).NextBytes(payload);
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        using BrokerProcess? peer = settings.Peer is { } kafka ? BrokerProcess.Attach(kafka.EndPoint, kafka.ProcessId) : null;
        string topic = $"load-{Guid.NewGuid():n}";
        Fill(broker, topic, payload, count);
        if (peer is not null)
        {
            Fill(peer, topic, payload, count);
        }

        List<ClientRun> runs = [];
        List<ClientRun> peers = [];
        for (int round = 0; round <= settings.Rounds; round++)
        {
            ClientRun run = Measure(broker, topic, byteCount, count);
            Console.WriteLine($"  {byteCount} B: {run}");
            ClientRun? other = peer is null ? null : Measure(peer, topic, byteCount, count);
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

        if (peer is not null)
        {
            using var connection = new WireConnection(peer.EndPoint);
            Workload.DeleteTopic(connection, topic);
        }

        var ours = ClientRun.Median(runs);
        return [.. ours.Beside(ApacheKafka.Consume(byteCount), $"consume-tcp-{byteCount}", byteCount), .. peer is null ? [] : ours.Beside(ClientRun.Median(peers), $"consume-tcp-{byteCount}")];
    }

    private static void Fill(BrokerProcess broker, string topic, byte[] payload, long count)
    {
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, topic, 1);
        }

        using var producer = new NativeClient(Native.Producer, topic, ClientRun.ProducerSettings(broker));
        producer.Produce(payload, count);
    }

    private static ClientRun Measure(BrokerProcess broker, string topic, int byteCount, long count)
    {
        using var client = new NativeClient(Native.Consumer, topic, ClientRun.ConsumerSettings(broker));
        return ClientRun.Measure(broker, count, byteCount, () => client.Consume(count));
    }
}
