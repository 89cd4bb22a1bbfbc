using Millrace.Kafka.Protocol;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>What a broker that has just served a client keeps of the machine's memory.</summary>
internal static class MemoryScenario
{
    private const double LimitMegabytes = 80;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        using var connection = new WireConnection(broker.EndPoint);
        Workload.CreateTopic(connection, "load", 1);
        connection.Send<MetadataRequest, MetadataResponse>(new MetadataRequest(), 5);
        Thread.Sleep(TimeSpan.FromSeconds(5));
        return [Measurement.AtMost(1, "memory", broker.ResidentMegabytes, LimitMegabytes, "MB")];
    }
}
