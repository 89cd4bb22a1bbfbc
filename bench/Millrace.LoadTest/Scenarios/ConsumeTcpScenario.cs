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
        using (var connection = new WireConnection(broker.EndPoint))
        {
            Workload.CreateTopic(connection, "load", 1);
        }

        using (var producer = new NativeClient(Native.Producer, "load", ClientRun.ProducerSettings(broker)))
        {
            producer.Produce(payload, count);
        }

        List<ClientRun> runs = [];
        for (int round = 0; round <= settings.Rounds; round++)
        {
            using var client = new NativeClient(Native.Consumer, "load", ClientRun.ConsumerSettings(broker));
            var run = ClientRun.Measure(broker, count, byteCount, () => client.Consume(count));
            Console.WriteLine($"  {byteCount} B: {run}");

            // The first is the warm-up.
            if (round > 0)
            {
                runs.Add(run);
            }
        }

        return ClientRun.Median(runs).Beside(ApacheKafka.Consume(byteCount), $"consume-tcp-{byteCount}", byteCount);
    }
}
