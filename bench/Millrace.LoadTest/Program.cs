using System.Globalization;
using Millrace.LoadTest;
using Millrace.LoadTest.Scenarios;

// What can be run: dotnet run -c Release --project bench/Millrace.LoadTest -- SCENARIO [--rounds N] [--directory DIR] [--peer ADDRESS:PORT/PROCESS]
(string Name, string What, Func<RunSettings, IReadOnlyList<Measurement>> Run)[] scenarios =
[
    ("append", "1 KiB records in 1 MB batches into a log, beside one CRC-32C and one sequential write of the same bytes", AppendScenario.Run),
    ("fetch", "a warm log over TCP, beside a bare sendfile loop", FetchScenario.Run),
    ("fsync-one", "one producer with acks=all, beside a bare write and fdatasync; the ratio leaves 100 microseconds out", SyncOneScenario.Run),
    ("fsync-many", "64 producers with acks=all to 1, 64 and 1,000 partitions, beside the serial rate of a bare write and fdatasync", SyncManyScenario.Run),
    ("transactions", "commits a second, and throughput with a commit every 100 ms beside the same without transactions", TransactionsScenario.Run),
    ("produce-tcp", "librdkafka produces with acks=1, beside what Apache Kafka 3.8 did on such a machine", ProduceTcpScenario.Run),
    ("consume-tcp", "librdkafka consumes, beside what Apache Kafka 3.8 did on such a machine", ConsumeTcpScenario.Run),
    ("client-produce-100", "our client produces messages of 100 B, beside librdkafka on the same broker; then the same with idempotence", ClientProduceScenario.RunSmall),
    ("client-produce-1024", "our client produces messages of 1 KiB, beside librdkafka on the same broker; then the same with idempotence", ClientProduceScenario.RunLarge),
    ("client-consume-100", "our client consumes messages of 100 B, beside librdkafka on the same broker", ClientConsumeScenario.RunSmall),
    ("client-consume-1024", "our client consumes messages of 1 KiB, beside librdkafka on the same broker", ClientConsumeScenario.RunLarge),
    ("client-allocation", "bytes that our client allocates for a record, on each of its paths", settings => [.. ClientAllocationScenario.Run(settings), .. ClientConsumeAllocation.Run(settings)]),
    ("client-latency", "from producing a record to having consumed it, our client beside librdkafka", ClientLatencyScenario.Run),
    ("memory-connection", "a broker in the process: requests for a CPU second in memory beside TCP, and the time from append to handler", MemoryConnectionScenario.Run),
    ("connections", "500 active connections beside 5,000 idle ones, beside the 500 alone; KB an idle one costs; seconds of a stop", ConnectionsScenario.Run),
    ("startup", "from the start of the process to the first answered request, in ms, beside 300", StartupScenario.Run),
    ("memory", "resident memory of an idle broker, in MB, beside 80", MemoryScenario.Run),
    ("soak", "resident memory after ten minutes of load, beside that after two", SoakScenario.Run),
    ("partitions", "the start with 10,000 partitions and 50 GB of log, in s, beside 2; memory that they cost, in MB, beside 200", PartitionsScenario.Run),
];

string wanted = args.Length > 0 ? args[0] : "";
if (wanted != "all" && !scenarios.Any(scenario => scenario.Name == wanted))
{
    Console.Error.WriteLine($"Give a scenario, or 'all': SCENARIO [--rounds N] [--directory DIR] [--peer ADDRESS:PORT/PROCESS].{Environment.NewLine}");
    foreach ((string name, string what, _) in scenarios)
    {
        Console.Error.WriteLine($"  {name,-20} {what}");
    }

    return 2;
}

if (!RunSettings.TryParse(args[1..], out RunSettings? settings, out string? error))
{
    Console.Error.WriteLine(error);
    return 2;
}

List<Measurement> all = [];
using (settings)
{
    foreach ((string name, string what, Func<RunSettings, IReadOnlyList<Measurement>> run) in scenarios)
    {
        // The soak takes ten minutes, and is asked for by name.
        if (wanted == name || (wanted == "all" && name != "soak"))
        {
            Console.WriteLine($"{name}: {what}");
            IReadOnlyList<Measurement> measured = run(settings);
            all.AddRange(measured);
            foreach (Measurement measurement in measured)
            {
                Console.WriteLine(measurement);
            }
        }
    }
}

if (wanted == "all")
{
    Console.WriteLine();
    Console.WriteLine("| scenario | ours | reference | unit | ratio | asked | |");
    Console.WriteLine("|---|---|---|---|---|---|---|");
    foreach (Measurement measured in all)
    {
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"| {measured.Scenario} | {measured.Ours:0.##} | {measured.Reference:0.##} | {measured.Unit} | {measured.Ratio:0.##} | {measured.Limit} | {(measured.IsReached ? "" : "not reached")} |"));
    }
}

return all.TrueForAll(measured => measured.IsReached) ? 0 : 1;
