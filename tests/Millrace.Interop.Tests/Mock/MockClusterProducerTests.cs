using System.Globalization;
using Millrace.Kafka;

namespace Millrace.Interop.Tests.Mock;

/// <summary>
/// Our producer on three brokers of librdkafka's mock cluster, while leaders move, brokers die and requests fail. Records have numbers: what
/// was acknowledged is there, in order, and once, as far as the mock cluster can tell (<see cref="MockLog"/>). The long run:
/// <c>MILLRACE_MOCK_ROUNDS=200</c>.
/// </summary>
public sealed class MockClusterProducerTests
{
    private const string Topic = "orders";
    private const int PartitionCount = 3;
    private const int WriterCount = 6;
    private const int AtOnce = 10;
    private const int WrittenPerRound = 120;

    private static int RoundCount => Environment.GetEnvironmentVariable("MILLRACE_MOCK_ROUNDS") is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : 6;

    public static TheoryData<string, bool> Faults => new()
    {
        { "leaders move", true },
        { "leaders are missing", true },
        { "brokers die", true },
        { "brokers are slow", true },
        { "requests fail", true },
        { "everything", true },
        { "leaders move", false },
        { "requests fail", false },
        { "brokers die", false },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task What_is_acknowledged_is_there_in_order_and_with_idempotence_once(string what, bool isIdempotent)
    {
        await using MockCluster cluster = await MockCluster.StartAsync();
        // Without idempotence a retry overtakes what was sent after it, unless nothing was.
        int[] counts = await WriteUnderFaultsAsync(cluster, what, isIdempotent, maxInFlightRequests: isIdempotent ? 5 : 1);
        await RequireAsync(cluster, counts, isIdempotent);
    }

    [Fact]
    public async Task Without_idempotence_the_same_faults_repeat_or_reorder_so_the_tests_can_fail()
    {
        // A fault has to hit a request that is under way, which it mostly does.
        bool isCaught = false;
        for (int attempt = 0; attempt < 10 && !isCaught; attempt++)
        {
            isCaught = await RepeatsOrReordersAsync();
        }

        Assert.True(isCaught, "Ten times no record was repeated and none overtook another.");
    }

    private static async Task<bool> RepeatsOrReordersAsync()
    {
        await using MockCluster cluster = await MockCluster.StartAsync();
        int[] counts = await WriteUnderFaultsAsync(cluster, "everything", isIdempotent: false, maxInFlightRequests: 5);

        Dictionary<byte, List<int>> read = [];
        for (int partition = 0; partition < PartitionCount; partition++)
        {
            Collect(read, await MockLog.ReadAsync(cluster, Topic, partition));
        }

        return Enumerable.Range(0, WriterCount).Any(key => !read[(byte)key].SequenceEqual(Enumerable.Range(0, counts[key])));
    }

    /// <summary>Writes to all partitions while faults come one after the other.</summary>
    /// <returns>How many records of each writer were acknowledged.</returns>
    private static async Task<int[]> WriteUnderFaultsAsync(MockCluster cluster, string what, bool isIdempotent, int maxInFlightRequests)
    {
        await cluster.CreateTopicAsync(Topic, PartitionCount);
        await using KafkaClient client = cluster.CreateClient(options => options.RequestTimeout = TimeSpan.FromSeconds(5));
        KafkaProducer producer = client.CreateProducer(new ProducerOptions
        {
            EnableIdempotence = isIdempotent,
            MaxInFlightRequests = maxInFlightRequests,
            Linger = TimeSpan.Zero,
            BatchByteCount = 200,
        });
        int acknowledged = 0;
        bool isOver = false;
        Task<int>[] writers = [.. Enumerable.Range(0, WriterCount).Select(WriteAsync)];
        MockFaults faults = new(cluster, Topic, PartitionCount, seed: 1);
        Func<Task>[] steps = Steps(faults, what);
        for (int round = 0; round < RoundCount; round++)
        {
            int before = Volatile.Read(ref acknowledged);
            await steps[round % steps.Length]();
            await UntilAsync(() => Volatile.Read(ref acknowledged) > before + WrittenPerRound || writers.Any(writer => writer.IsFaulted), "records being written after round " + round);
        }

        Volatile.Write(ref isOver, true);
        return await Task.WhenAll(writers);

        async Task<int> WriteAsync(int key)
        {
            int count = 0;
            while (!Volatile.Read(ref isOver))
            {
                int first = count;
                await Task.WhenAll(Enumerable.Range(first, AtOnce).Select(number => producer.ProduceAsync(Record(key, number)).AsTask()));
                count += AtOnce;
                Interlocked.Add(ref acknowledged, AtOnce);
            }

            return count;
        }
    }

    private static Func<Task>[] Steps(MockFaults faults, string what) => what switch
    {
        "leaders move" => [faults.MoveLeadersAsync],
        "leaders are missing" => [faults.TakeLeadersAwayAsync],
        "brokers die" => [faults.KillBrokerAsync],
        "brokers are slow" => [faults.SlowBrokerAsync],
        "requests fail" => [faults.RefuseRecordsAsync, faults.RefuseLookUpsAsync],
        _ => [faults.MoveLeadersAsync, faults.RefuseRecordsAsync, faults.KillBrokerAsync, faults.RefuseLookUpsAsync, faults.SlowBrokerAsync, faults.TakeLeadersAwayAsync],
    };

    private static async Task RequireAsync(MockCluster cluster, int[] counts, bool isIdempotent)
    {
        Dictionary<byte, List<int>> read = [];
        int repeatedCount = 0;
        for (int partition = 0; partition < PartitionCount; partition++)
        {
            List<MockBatch> batches = await MockLog.ReadAsync(cluster, Topic, partition);
            List<MockBatch> kept = isIdempotent ? MockLog.AsBrokerWould(batches) : batches;
            repeatedCount += batches.Count - kept.Count;
            Collect(read, kept);
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{counts.Sum()} records were acknowledged; {repeatedCount} batches are there again, which a broker would have dropped.");
        for (byte key = 0; key < WriterCount; key++)
        {
            // Without idempotence a record may be there again; its first place is the one that counts.
            Assert.Equal(Enumerable.Range(0, counts[key]), isIdempotent ? read[key] : read[key].Distinct());
        }
    }

    private static void Collect(Dictionary<byte, List<int>> read, List<MockBatch> batches)
    {
        foreach ((byte key, int number) in batches.SelectMany(batch => batch.Records))
        {
            read.TryAdd(key, []);
            read[key].Add(number);
        }
    }

    private static ProducerRecord Record(int key, int number) => new()
    {
        Topic = Topic,
        Partition = key % PartitionCount,
        Key = new[] { (byte)key },
        Value = BitConverter.GetBytes(number),
    };

    private static async Task UntilAsync(Func<bool> condition, string what)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < Programs.RunningProgram.Deadline, $"Waited in vain for {what}.");
            // Real time: the pause between two looks at the condition.
            await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System);
        }
    }
}
