using System.Text;
using System.Text.Json;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Testing;

/// <summary>Reads a machine's log from its beginning, beside the application and without a group.</summary>
internal sealed class LogReader(KafkaClient client)
{
    /// <summary>The broker's own topics.</summary>
    private const string InternalPrefix = "__";

    /// <summary>Every partition of the application's topics, and the offset after its last visible record.</summary>
    public async Task<IReadOnlyDictionary<TopicPartition, Offset>> ReadEndsAsync(CancellationToken cancellationToken)
    {
        ClusterMetadata cluster = await client.Admin.DescribeAsync(topics: null, cancellationToken);
        TopicPartition[] partitions =
        [
            .. cluster.Topics.Where(topic => !topic.Name.StartsWith(InternalPrefix, StringComparison.Ordinal))
                .SelectMany(topic => topic.Partitions.Select(partition => new TopicPartition(topic.Name, partition.Partition))),
        ];
        return partitions.Length == 0
            ? new Dictionary<TopicPartition, Offset>()
            : await client.Admin.ListOffsetsAsync(partitions, OffsetSpec.Latest, cancellationToken);
    }

    /// <summary>
    /// The records of all the application's topics that satisfy a condition: each partition's in the order of the log, and
    /// partitions interleaved by the records' times.
    /// </summary>
    public async Task<List<ConsumerRecord>> ReadAsync(Func<ConsumerRecord, bool> isWanted, CancellationToken cancellationToken)
    {
        Dictionary<TopicPartition, Offset> open = new(
            (await ReadEndsAsync(cancellationToken)).Where(end => end.Value > new Offset(0)));
        if (open.Count == 0) return [];

        Dictionary<TopicPartition, List<ConsumerRecord>> found = [];
        await using KafkaConsumer consumer = client.CreateConsumer(new ConsumerOptions { AutoOffsetReset = AutoOffsetReset.Earliest });
        consumer.Assign([.. open.Keys.Select(partition => new TopicPartitionOffset(partition, new Offset(0)))]);
        while (open.Count > 0)
        {
            foreach (ConsumerRecord record in await consumer.PollAsync(cancellationToken: cancellationToken))
            {
                if (!open.TryGetValue(record.TopicPartition, out Offset end) || record.Offset >= end || !isWanted(record)) continue;
                if (!found.TryGetValue(record.TopicPartition, out List<ConsumerRecord>? records)) found.Add(record.TopicPartition, records = []);
                records.Add(record);
            }

            foreach ((TopicPartition partition, Offset end) in open.ToList())
            {
                if (consumer.Position(partition) >= end) open.Remove(partition);
            }
        }

        return Interleave([.. found.OrderBy(partition => partition.Key.ToString(), StringComparer.Ordinal).Select(partition => partition.Value)]);
    }

    public static LoggedMessage<T> ToMessage<T>(ConsumerRecord record, JsonSerializerOptions json)
    {
        Envelope envelope = Envelope.Read(record);
        T message = (record.Value is { } body ? JsonSerializer.Deserialize<T>(body.Span, json) : default)
            ?? throw new JsonException($"Record {record.Offset} of {record.TopicPartition} is a {envelope.Type} without a body.");
        return new LoggedMessage<T>(
            message, envelope.MessageId, Text(record.Key), envelope.CorrelationId, envelope.CausationId, envelope.Time, Headers(record), record.TopicPartition, record.Offset);
    }

    public static LoggedDeadLetter ToDeadLetter(ConsumerRecord record)
    {
        Envelope envelope = Envelope.Read(record);
        IReadOnlyDictionary<string, string> headers = Headers(record);
        return new LoggedDeadLetter(
            envelope.MessageId, envelope.Type, Text(record.Key), Text(record.Value) ?? "",
            headers.GetValueOrDefault(DeadLetterHeaders.ErrorType), headers.GetValueOrDefault(DeadLetterHeaders.ErrorMessage),
            int.TryParse(headers.GetValueOrDefault(DeadLetterHeaders.Attempts), out int attempts) ? attempts : 0, headers);
    }

    private static string? Text(ReadOnlyMemory<byte>? bytes) => bytes is { } text ? Encoding.UTF8.GetString(text.Span) : null;

    private static Dictionary<string, string> Headers(ConsumerRecord record)
    {
        Dictionary<string, string> headers = [];
        foreach (RecordHeader header in record.Headers) headers[header.Key] = Text(header.Value) ?? "";
        return headers;
    }

    /// <summary>Always the earliest of the first records that are left: no list is reordered within itself.</summary>
    private static List<ConsumerRecord> Interleave(List<List<ConsumerRecord>> partitions)
    {
        List<ConsumerRecord> all = [];
        int[] next = new int[partitions.Count];
        while (true)
        {
            int earliest = -1;
            for (int i = 0; i < next.Length; i++)
            {
                if (next[i] == partitions[i].Count) continue;
                if (earliest < 0 || partitions[i][next[i]].Timestamp < partitions[earliest][next[earliest]].Timestamp) earliest = i;
            }

            if (earliest < 0) return all;
            all.Add(partitions[earliest][next[earliest]++]);
        }
    }
}
