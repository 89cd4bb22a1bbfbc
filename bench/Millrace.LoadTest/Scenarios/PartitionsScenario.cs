using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>A start after a clean stop, with 10,000 partitions and 50 GB of log, and what the partitions cost of memory.</summary>
internal static class PartitionsScenario
{
    private const int PartitionCount = 9_900;
    private const int BigSegmentCount = 50;
    private const long BigSegmentByteCount = 1 << 30;
    private const double LimitSeconds = 2;
    private const double LimitMegabytes = 200;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        string directory = settings.NewDirectory();
        Make(directory);
        double idle = Resident(settings.NewDirectory(), out _);
        List<double> starts = [];
        double withPartitions = 0;
        for (int round = 0; round < settings.Rounds; round++)
        {
            withPartitions = Resident(directory, out double seconds);
            starts.Add(seconds);
            Console.WriteLine($"  start {round + 1}: {seconds:0.00} s, {withPartitions:0} MB resident");
        }

        return
        [
            Measurement.AtMost(1, "partitions-memory", withPartitions - idle, LimitMegabytes, "MB"),
            Measurement.AtMost(1, "partitions-start", Statistics.Median(starts), LimitSeconds, "s"),
        ];
    }

    private static double Resident(string directory, out double startSeconds)
    {
        long begun = Stopwatch.GetTimestamp();
        using BrokerProcess broker = BrokerProcess.Start(directory);
        using var connection = new WireConnection(broker.EndPoint);
        connection.Send<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 2);
        startSeconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        Thread.Sleep(TimeSpan.FromSeconds(5));
        return broker.ResidentMegabytes;
    }

    /// <summary>Real partitions with a record each, and one whose segments are as long as Kafka's, with holes in place of most records.</summary>
    private static void Make(string directory)
    {
        byte[] batch = Workload.Batch(1, 1024);
        var options = new LogDirectoryOptions { Path = directory, SegmentByteCount = batch.Length };
        using (var log = LogDirectory.Open(options, new FileStorage(), TimeProvider.System, new Random(1), NullLogger.Instance))
        {
            var topic = Guid.NewGuid();
            for (int partition = PartitionCount - 1; partition >= 0; partition--)
            {
                log.Create(new TopicPartition("many", partition), topic).Append(batch, AppendDurability.PageCache);
            }

            PartitionLog big = log.Create(new TopicPartition("big", 0), Guid.NewGuid());
            for (int segment = 0; segment < BigSegmentCount; segment++)
            {
                big.Append(batch, AppendDurability.PageCache);
            }

            log.Close();
        }

        foreach (string file in Directory.GetFiles(Path.Combine(directory, "big-0"), "*.log").Order(StringComparer.Ordinal).SkipLast(1))
        {
            using FileStream stream = File.OpenWrite(file);
            stream.SetLength(BigSegmentByteCount);
        }
    }
}
