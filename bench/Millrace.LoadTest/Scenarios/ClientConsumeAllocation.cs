using System.Globalization;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>What reading allocates for a record once everything is warm, over all threads of the process, fetching included.</summary>
internal static class ClientConsumeAllocation
{
    private const int ByteCount = 100;
    private const long Count = 1_000_000;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        using BrokerProcess broker = BrokerProcess.Start(settings.NewDirectory());
        string[] codecs = ["none", "lz4", "snappy", "gzip", "zstd"];
        foreach (string codec in codecs)
        {
            ClientConsumeScenario.Fill(broker, codec, ByteCount, 2 * Count, codec);
        }

        Console.WriteLine("  | path | codec | bytes a record |");
        Console.WriteLine("  |---|---|---|");
        List<Measurement> all = [];
        foreach (string codec in codecs)
        {
            double allocated = Measure(broker, codec, static (consumer, count) => consumer.ReadBatchesAsync(count));
            Tell("PollBatchAsync", codec, allocated);

            // What a fetch costs is shared by its records; a byte for each of them would be one that reading costs.
            all.Add(new Measurement($"client-allocation-consume-batch-{codec}", allocated, allocated, 1, "B/record", "less than 1", allocated < 1));
        }

        double records = Measure(broker, codecs[0], static (consumer, count) => consumer.ReadRecordsAsync(count));
        Tell("PollAsync", codecs[0], records);
        double enumerated = Measure(broker, codecs[0], static (consumer, count) => consumer.EnumerateAsync(count));
        Tell("ConsumeAsync", codecs[0], enumerated);
        all.Add(Measurement.Reported("client-allocation-consume-records", records, ByteCount, "B/record"));
        all.Add(Measurement.Reported("client-allocation-consume-enumerated", enumerated, ByteCount, "B/record"));
        return all;
    }

    private static double Measure(BrokerProcess broker, string topic, Func<ManagedConsumer, long, Task<long>> read) => Task.Run(async () =>
    {
        await using var consumer = new ManagedConsumer(broker.EndPoint, topic);
        await read(consumer, Count / 2);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        await read(consumer, Count);
        return (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Count;
    }).GetAwaiter().GetResult();

    private static void Tell(string path, string codec, double byteCount) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  | {path} | {codec} | {byteCount:0.00} |"));
}
