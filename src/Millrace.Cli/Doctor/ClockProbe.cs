using System.Security.Cryptography;
using Millrace.Kafka;

namespace Millrace.Cli.Doctor;

/// <summary>
/// Reads the clocks of brokers. Kafka's protocol tells a broker's time in one place: the answer to a record that it stamps itself. So a topic with
/// <c>message.timestamp.type=LogAppendTime</c> is made, with one partition led by each broker, a few records are written to each, and it is deleted. The record with the
/// shortest round trip says the most: the broker's time lies between sending and answer, half of which is the uncertainty.
/// </summary>
internal sealed class ClockProbe(KafkaClient client, TimeProvider time)
{
    private const int RecordsPerBroker = 5;
    private const int NameByteCount = 6;

    /// <summary>Times on the wire are whole milliseconds.</summary>
    private static readonly TimeSpan s_resolution = TimeSpan.FromMilliseconds(1);

    /// <exception cref="KafkaException">The topic cannot be made or written to.</exception>
    public async Task<IReadOnlyList<ClockReading>> ReadAsync(IReadOnlyList<int> brokerIds, CancellationToken cancellationToken)
    {
        string name = $"millrace-clock-probe-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(NameByteCount))}";
        var topic = new NewTopic(name)
        {
            ReplicaAssignments = [.. brokerIds.Select(brokerId => (IReadOnlyList<int>)[brokerId])],
            Configuration = new Dictionary<string, string> { ["message.timestamp.type"] = "LogAppendTime", ["min.insync.replicas"] = "1" },
        };
        (await client.Admin.CreateTopicsAsync([topic], cancellationToken)).ThrowIfAnyFailed();

        try
        {
            await using KafkaProducer producer = client.CreateProducer(new ProducerOptions { Linger = TimeSpan.Zero });
            var readings = new List<ClockReading>();
            foreach ((int brokerId, int partition) in brokerIds.Select((brokerId, index) => (brokerId, index)))
            {
                readings.Add(await ReadAsync(producer, brokerId, name, partition, cancellationToken));
            }

            return readings;
        }
        finally
        {
            (await client.Admin.DeleteTopicsAsync([name], CancellationToken.None)).ThrowIfAnyFailed();
        }
    }

    private async Task<ClockReading> ReadAsync(KafkaProducer producer, int brokerId, string topic, int partition, CancellationToken cancellationToken)
    {
        ClockReading? best = null;
        for (int i = 0; i < RecordsPerBroker; i++)
        {
            long start = time.GetTimestamp();
            DateTimeOffset sentAt = time.GetUtcNow();
            RecordMetadata written = await producer.ProduceAsync(new ProducerRecord { Topic = topic, Partition = partition, Value = "tick"u8.ToArray() }, cancellationToken);
            TimeSpan half = time.GetElapsedTime(start) / 2;
            if (written.Timestamp is { } brokerTime && (best is null || half + s_resolution < best.Uncertainty))
            {
                best = new ClockReading(brokerId, brokerTime - (sentAt + half), half + s_resolution);
            }
        }

        return best ?? throw new KafkaProtocolException($"Broker {brokerId} does not tell when it took the records of {topic}.");
    }
}
